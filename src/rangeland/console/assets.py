"""The console's files as a browser gets them: read, hashed and compressed once, when a node starts.

`/` is the page; it names all else below `/console/HASH/`, where HASH is of all files together. So a browser may keep
them for ever, and after an upgrade it never puts old and new files together. The page is as it stands in
`static/index.html` but for three marks: `{prefix}`, `<!-- import map -->` and `<!-- modules -->`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rangeland.wire.headers import has_answer, takes_gzip

STATIC: Final = Path(__file__).with_name("static")
PAGE: Final = "index.html"
PREFIX: Final = "/console/"
IMPORTS: Final = {
    "preact": "vendor/preact.js",
    "preact/hooks": "vendor/preact-hooks.js",
    "htm": "vendor/htm.js",
    "htm/preact": "vendor/htm-preact.js",
    "@preact/signals-core": "vendor/signals-core.js",
    "@preact/signals": "vendor/signals.js",
    "uplot": "vendor/uplot.js",
}  # what modules import by a bare name
# Other files, such as vendor/README.md, are for those who read the source.
CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
PACKED_ALREADY: Final = {".png", ".woff2"}
TEXT: Final = CONTENT_TYPES[".txt"]
ASK_EACH_TIME: Final = "no-cache"  # which is nearly free: a 304
KEEP: Final = "public, max-age=31536000, immutable"
HASH_DIGITS: Final = 16  # 64 bits: two versions must differ, nobody has to be kept from finding two that don't
# No frame, no address on the way out, no guessing of types: nothing of it is needed here.
SECURITY_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served."""

    plain: bytes
    gzipped: bytes | None  # None where it wouldn't be smaller
    content_type: str
    cache_control: str
    digest: str

    def etag(self, *, is_gzipped: bool) -> str:
        """Strong ones, so the same file compressed has another."""
        return f'"{self.digest}-gzip"' if is_gzipped else f'"{self.digest}"'


class Console:
    """An ASGI app for `/` and what is below `/console/`; a path of another version is a 404."""

    def __init__(self, directory: Path) -> None:
        content_by_name = read_files(directory)
        prefix = versioned_prefix(content_by_name)
        imports = import_map(content_by_name, prefix)
        self._headers = {**SECURITY_HEADERS, "content-security-policy": content_security_policy(imports)}
        self._assets = {
            prefix + name: _asset(name, content, KEEP) for name, content in content_by_name.items() if name != PAGE
        }
        if PAGE in content_by_name:
            page = filled_page(content_by_name, prefix, imports)
            self._assets["/"] = _asset(PAGE, page, ASK_EACH_TIME)

    @staticmethod
    def has(path: str) -> bool:
        """Whether a path is this app's to answer."""
        return path == "/" or path.startswith(PREFIX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        asset = self._assets.get(scope["path"])
        if asset is None:
            return self._error(404, "404 page not found")
        if scope["method"] not in ("GET", "HEAD"):
            return self._error(405, "Method Not Allowed", {"allow": "GET, HEAD"})
        headers = Headers(scope=scope)
        packed = asset.gzipped if takes_gzip(headers.get("accept-encoding", "")) else None
        etag = asset.etag(is_gzipped=packed is not None)
        told = {**self._headers, "etag": etag, "cache-control": asset.cache_control}
        if asset.gzipped is not None:
            told["vary"] = "Accept-Encoding"
        if has_answer(headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=told)
        if packed is not None:
            told["content-encoding"] = "gzip"
        return Response(packed or asset.plain, headers={**told, "content-type": asset.content_type})

    def _error(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
        told = {**self._headers, "cache-control": ASK_EACH_TIME, "content-type": TEXT, **(headers or {})}
        return Response(f"{text}\n".encode(), status, headers=told)


def read_files(directory: Path) -> dict[str, bytes]:
    """Every file that is for browsers, by its path in the directory, sorted."""
    paths = [path for path in directory.rglob("*") if path.suffix in CONTENT_TYPES and path.is_file()]
    return {name: (directory / name).read_bytes() for name in sorted(_name(path, directory) for path in paths)}


def versioned_prefix(content_by_name: Mapping[str, bytes]) -> str:
    """`/console/HASH/`: another one as soon as any file has another name or content."""
    digest = hashlib.sha256()
    for name, content in content_by_name.items():
        digest.update(f"{len(name)}:{name}{len(content)}:".encode() + content)
    return f"{PREFIX}{digest.hexdigest()[:HASH_DIGITS]}/"


def import_map(names: Iterable[str], prefix: str) -> str:
    """Where modules are: others' by their bare names, our own below the names of their directories."""
    modules = [name for name in names if name.endswith(".js")]
    own = {name.partition("/")[0] + "/" for name in modules if "/" in name and not name.startswith("vendor/")}
    imports = {name: prefix + file for name, file in IMPORTS.items() if file in modules}
    imports |= {directory: prefix + directory for directory in sorted(own)}
    return json.dumps({"imports": imports}, separators=(",", ":"))


def content_security_policy(imports: str) -> str:
    """What a page may load and do: our own files and answers, one inline script by its hash, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode("ascii")
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{digest}'",
            "style-src 'self'",  # styles that a script sets one by one are not asked about
            "connect-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",  # no text becomes markup or code
            "trusted-types 'none'",
        )
    )


def filled_page(content_by_name: Mapping[str, bytes], prefix: str, imports: str) -> bytes:
    """The page with what is known only now. Modules are named at once: else each would be asked for when the one
    before it has come. What the page names itself isn't named twice.
    """
    page = content_by_name[PAGE].decode("utf-8")
    modules = [name for name in content_by_name if name.endswith(".js") and f"{{prefix}}{name}" not in page]
    links = "\n".join(f'<link rel="modulepreload" href="{prefix}{name}">' for name in modules)
    script = f'<script type="importmap">{imports}</script>'
    filled = page.replace("<!-- import map -->", script).replace("<!-- modules -->", links)
    return filled.replace("{prefix}", prefix).encode("utf-8")


def _name(path: Path, directory: Path) -> str:
    return path.relative_to(directory).as_posix()


def _asset(name: str, content: bytes, cache_control: str) -> Asset:
    suffix = Path(name).suffix
    packed = None if suffix in PACKED_ALREADY else gzip.compress(content, mtime=0)
    return Asset(
        plain=content,
        gzipped=packed if packed is not None and len(packed) < len(content) else None,
        content_type=CONTENT_TYPES[suffix],
        cache_control=cache_control,
        digest=hashlib.sha256(content).hexdigest()[: 2 * HASH_DIGITS],
    )
