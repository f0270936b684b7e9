"""/openapi.json and /docs/: this API as an OpenAPI document and as a page, both written by `make openapi`.

The files are read when somebody first asks for them; a node that nobody asks has neither in memory.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from rangeland.api.asking import Asking
from rangeland.api.replies import Body

# The page loads nothing and runs nothing: its one style sheet is inside, and known by its hash.
_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


async def show_openapi(_: Asking) -> Body:
    """This document: the API in OpenAPI 3.1."""
    return _document()


async def show_docs(_: Asking) -> Body:
    """This document as a page for people; it loads nothing from elsewhere."""
    return _page()


@cache
def _document() -> Body:
    return Body(_read("openapi.json"))


@cache
def _page() -> Body:
    page = _read("openapi.html")
    headers = {
        "content-security-policy": _POLICY.format(_style_hash(page)),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return Body(page, "text/html; charset=utf-8", headers)


def _style_hash(page: bytes) -> str:
    """SHA-256 of what is between the style tags, in base64, as a content security policy names it."""
    style = re.search(rb"<style>(.*?)</style>", page, re.DOTALL)
    return base64.b64encode(hashlib.sha256(style[1] if style else b"").digest()).decode()


def _read(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()
