"""What the console's app answers, without a node: paths, headers, marks in the page, versions."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from rangeland.console import STATIC, Console
from rangeland.console.assets import CONTENT_TYPES, IMPORTS, PAGE
from rangeland.wire.headers import has_answer

PAGE_TEXT = """<!doctype html>
<link rel="stylesheet" href="{prefix}style.css">
<!-- import map -->
<!-- modules -->
<script type="module" src="{prefix}main.js"></script>
"""
FILES = {
    "index.html": PAGE_TEXT,
    "style.css": "body { margin: 0 }\n" * 100,
    "main.js": 'import { h } from "preact";\n',
    "icon.svg": "<svg/>",
    "lib/api.js": "export const api = 1;\n",
    "pages/deep/one.js": "export const one = 1;\n",
    "vendor/preact.js": "export const h = 1;\n",
    "vendor/README.md": "# Not for browsers\n",
}


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


def ask(console: Console, path: str, method: str = "GET", **headers: str) -> Reply:
    """The answer as it is handed to the HTTP server; an underscore in a header's name is a dash."""
    sent: list[Message] = []
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": named}

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(console(scope, receive, send))
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:]))


def written(directory: Path, **changed: str) -> Path:
    for name, text in (FILES | changed).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(written(tmp_path))


def prefix_of(console: Console) -> str:
    found = re.search(rb'href="(/console/[0-9a-f]{16}/)style.css"', ask(console, "/").body)
    assert found
    return found[1].decode()


def test_the_page_names_every_module_before_it_is_asked_for(console: Console) -> None:
    page = ask(console, "/").body.decode()
    prefix = prefix_of(console)
    preloaded = re.findall(r'<link rel="modulepreload" href="([^"]+)">', page)
    assert preloaded == [prefix + name for name in ("lib/api.js", "pages/deep/one.js", "vendor/preact.js")]
    assert page.endswith(f'<script type="module" src="{prefix}main.js"></script>\n')
    assert "<!--" not in page
    assert "{prefix}" not in page


def test_the_import_map_leads_to_files_that_there_are(console: Console) -> None:
    [text] = re.findall(r'<script type="importmap">(.*)</script>', ask(console, "/").body.decode())
    prefix = prefix_of(console)
    assert json.loads(text)["imports"] == {
        "preact": f"{prefix}vendor/preact.js",
        "lib/": f"{prefix}lib/",
        "pages/": f"{prefix}pages/",
    }
    assert ask(console, f"{prefix}vendor/preact.js").status == 200


def test_the_policy_allows_the_import_map_and_no_other_inline_script(console: Console) -> None:
    answer = ask(console, "/")
    [text] = re.findall(r'<script type="importmap">(.*)</script>', answer.body.decode())
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["style-src"] == policy["connect-src"] == policy["font-src"] == policy["form-action"] == "'self'"
    assert policy["base-uri"] == policy["frame-ancestors"] == policy["trusted-types"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "{prefix}style.css", "/console/", "/console/0000000000000000/style.css"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_answer_has_the_headers_of_security(console: Console, path: str, method: str) -> None:
    headers = ask(console, path.format(prefix=prefix_of(console)), method).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["content-security-policy"].startswith("default-src 'none'; ")


def test_files_are_kept_for_ever_and_the_page_is_asked_for_each_time(console: Console) -> None:
    assert ask(console, "/").headers["cache-control"] == "no-cache"
    for name in ("style.css", "main.js", "icon.svg", "lib/api.js"):
        answer = ask(console, prefix_of(console) + name)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"] == CONTENT_TYPES[Path(name).suffix]
        assert answer.body == FILES[name].encode()
        assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("name", ["style.css", "lib/api.js", "index.html", "vendor/preact.js"])
def test_any_other_file_makes_another_version_that_knows_no_old_path(tmp_path: Path, name: str) -> None:
    old = prefix_of(Console(written(tmp_path)))
    changed = Console(written(tmp_path, **{name: FILES[name] + " "}))
    assert prefix_of(changed) != old
    assert ask(changed, f"{old}style.css").status == 404
    assert ask(changed, f"{prefix_of(changed)}style.css").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/console/",
        "/console/style.css",
        "{prefix}",
        "{prefix}index.html",
        "{prefix}vendor/README.md",
        "{prefix}../style.css",
        "{prefix}lib",
        "{prefix}style.css/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_there_is_not_is_404(console: Console, path: str, method: str) -> None:
    answer = ask(console, path.format(prefix=prefix_of(console)), method)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_405(console: Console, method: str) -> None:
    answer = ask(console, "/", method)
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "GET, HEAD", b"Method Not Allowed\n")


def test_a_text_comes_compressed_to_who_takes_that(console: Console) -> None:
    path = f"{prefix_of(console)}style.css"
    plain, packed = ask(console, path), ask(console, path, accept_encoding="br, gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 10
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] != packed.headers["etag"]
    assert "content-encoding" not in ask(console, path, accept_encoding="gzip;q=0").headers


def test_what_would_only_grow_is_not_compressed(console: Console) -> None:
    answer = ask(console, f"{prefix_of(console)}icon.svg", accept_encoding="gzip")
    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers


@pytest.mark.parametrize("accept_encoding", ["", "gzip"])
def test_who_has_it_already_is_told_so_without_a_body(console: Console, accept_encoding: str) -> None:
    etag = ask(console, "/", accept_encoding=accept_encoding).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = ask(console, "/", accept_encoding=accept_encoding, if_none_match=known)
        assert (answer.status, answer.body) == (304, b"")
        assert (answer.headers["etag"], answer.headers["cache-control"]) == (etag, "no-cache")
    for unknown in ('"other"', "", etag.strip('"')):
        assert ask(console, "/", accept_encoding=accept_encoding, if_none_match=unknown).status == 200


def test_a_mark_is_known_as_a_whole_only() -> None:
    assert has_answer('"a", "b"', '"b"')
    assert not has_answer('"ab"', '"b"')


def test_only_its_own_paths_are_the_consoles() -> None:
    assert [path for path in ("/", "/console/", "/console/x/y.js") if not Console.has(path)] == []
    assert [
        path for path in ("/console", "/consoles/x", "/api/v2/nodes/", "/health", "//", "") if Console.has(path)
    ] == []


def test_a_directory_without_a_page_serves_none(tmp_path: Path) -> None:
    assert ask(Console(tmp_path), "/").status == 404


# our own files


def test_every_bare_import_is_in_the_import_map() -> None:
    """Of our modules and of the vendored ones; and each of its entries is a file."""
    bare = re.compile(r"""(?:\bfrom|\bimport)\s*\(?["']([^."'/\s][^"'\s]*)["']""")
    found = {name for path in STATIC.rglob("*.js") for name in bare.findall(path.read_text("utf-8"))}
    ours = {name for name in found if name.startswith(("lib/", "pages/"))}
    assert found - ours <= IMPORTS.keys()
    assert {"preact", "preact/hooks", "@preact/signals-core", "htm"} <= found
    assert [file for file in IMPORTS.values() if not (STATIC / file).is_file()] == []


def test_every_file_is_served_or_is_a_readme() -> None:
    others = [path for path in STATIC.rglob("*") if path.is_file() and path.suffix not in CONTENT_TYPES]
    assert [path.name for path in others] == ["README.md"]


def test_the_page_has_its_marks_and_no_inline_script_or_style() -> None:
    page = (STATIC / PAGE).read_text("utf-8")
    assert page.index("<!-- import map -->") < page.index("<!-- modules -->") < page.index('type="module"')
    assert re.findall(r"<script(?![^>]*\ssrc=)[^>]*>|<style|\sstyle=|\son\w+=", page) == []
