"""`make vendor`: write `static/vendor/` anew from the packages of packages.py.

npm fetches, because it knows its registry; nothing of a package is run, and an archive with another hash than the
table's ends everything before a file is written.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vendoring.packages import PACKAGES, Package

VENDOR = Path(__file__).parent.parent / "src" / "rangeland" / "console" / "static" / "vendor"
_MAP = re.compile(rb"\n?//# sourceMappingURL=\S+\n?")  # the maps aren't here: a browser would ask for them in vain

_README = """\
# Vendored modules

Other people's work, under the licences beside it. `make vendor` writes this directory anew from the packages that
[packages.py](../../../../../vendoring/packages.py) lists; don't edit a file here. Comments that name source maps are
left out; `uplot.js` has a last line that makes a module of a script.

| package | version | licence | hash of the archive |
|---|---|---|---|
{packages}

| file | SHA-256 |
|---|---|
{files}
"""


def main() -> int:
    """Fetch all, check all, then write."""
    with tempfile.TemporaryDirectory() as directory:
        archives = [_archive(package, Path(directory)) for package in PACKAGES]
    content_by_name: dict[str, bytes] = {}
    for package, archive in zip(PACKAGES, archives, strict=True):
        require_integrity(package, archive)
        content_by_name |= files_from_archive(package, archive)
    for path in VENDOR.glob("*"):
        path.unlink()
    for name, content in content_by_name.items():
        (VENDOR / name).write_bytes(content)
    (VENDOR / "README.md").write_text(readme(PACKAGES, content_by_name), "utf-8")
    return 0


def _archive(package: Package, directory: Path) -> bytes:
    argv = ["npm", "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]
    printed = subprocess.run(argv, cwd=directory, check=True, stdout=subprocess.PIPE, text=True).stdout
    return (directory / printed.split()[-1]).read_bytes()


def require_integrity(package: Package, archive: bytes) -> None:
    """Raises:
    ValueError: the archive isn't the one that the table names.
    """
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode("ascii")
    if found != package.integrity:
        raise ValueError(
            f"{package.name} {package.version} has the hash {found}, and packages.py says {package.integrity}"
        )


def files_from_archive(package: Package, archive: bytes) -> dict[str, bytes]:
    """Content by its name in `static/vendor/`."""
    content_by_name = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
        for file in package.files:
            member = members.extractfile(f"package/{file.source}")
            if member is None:
                raise ValueError(f"{package.name} {package.version} has no file {file.source}")
            content = _MAP.sub(b"\n", member.read()).rstrip(b"\n") + b"\n"
            content_by_name[file.name] = content + file.appended.encode("ascii")
    return content_by_name


def readme(packages: Sequence[Package], content_by_name: dict[str, bytes]) -> str:
    """The page that says where each file is from."""
    return _README.format(
        packages="\n".join(
            f"| {package.name} | {package.version} | {package.licence} | `{package.integrity}` |"
            for package in packages
        ),
        files="\n".join(
            f"| [{name}]({name}) | `{hashlib.sha256(content).hexdigest()}` |"
            for name, content in sorted(content_by_name.items())
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
