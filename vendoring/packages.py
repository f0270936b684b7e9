"""Which packages the console uses: their versions, hashes, licences and files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class File:
    """One file of a package."""

    source: str  # in the package
    name: str  # in static/vendor/
    appended: str = ""  # what makes a module of a script


@dataclass(frozen=True, slots=True)
class Package:
    """A package as its registry has it."""

    name: str
    version: str
    licence: str
    integrity: str  # of the archive, as npm writes it
    files: tuple[File, ...]


PACKAGES: Final = (
    Package(
        "preact",
        "11.2.0",
        "MIT",
        "sha512-/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==",
        (
            File("dist/preact.mjs", "preact.js"),
            File("hooks/dist/hooks.mjs", "preact-hooks.js"),
            File("LICENSE", "preact.LICENSE.txt"),
        ),
    ),
    Package(
        "htm",
        "3.1.1",
        "Apache-2.0",
        "sha512-983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
        (
            File("dist/htm.mjs", "htm.js"),
            File("preact/index.mjs", "htm-preact.js"),
            File("LICENSE", "htm.LICENSE.txt"),
        ),
    ),
    Package(
        "@preact/signals-core",
        "1.14.5",
        "MIT",
        "sha512-vcRv7Ityz5JVmeiVqIluLFzT/PDS/AlhHUpw3/aUWqcVUs6bDGIPXE/6RSC4evBNWYvnniozg5Syfj33al3gkg==",
        (
            File("dist/signals-core.mjs", "signals-core.js"),
            File("LICENSE", "signals-core.LICENSE.txt"),
        ),
    ),
    Package(
        "@preact/signals",
        "2.11.4",
        "MIT",
        "sha512-Rb+5RPo9gWSaHtzJeauhHxiC8KP/IF2DEPkHPEOGOnuy2wnJzRqyeLRankUCYd6ADqtxS6GnWGv6Ie343d8aYw==",
        (
            File("dist/signals.mjs", "signals.js"),
            File("LICENSE", "signals.LICENSE.txt"),
        ),
    ),
    Package(
        "uplot",
        "1.6.32",
        "MIT",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        (
            # Its own ES module isn't minified: 42 kB compressed instead of 22.
            File("dist/uPlot.iife.min.js", "uplot.js", appended="export default uPlot;\n"),
            File("dist/uPlot.min.css", "uplot.css"),
            File("LICENSE", "uplot.LICENSE.txt"),
        ),
    ),
)
