"""The page about the console shows each of its pictures, and no picture makes a clone slow."""

from __future__ import annotations

import re

from console.pictures import PAGES, PICTURES, SCHEMES, SHAPES

NAMES = {f"{page}-{scheme}-{shape}.png" for page in PAGES for scheme in SCHEMES for shape in SHAPES}
MAX_BYTES = 150_000


def test_every_page_is_shown_in_light_and_dark_wide_and_narrow() -> None:
    text = (PICTURES.parent / "howto" / "console.md").read_text("utf-8")
    assert set(re.findall(r"\.\./pictures/([a-z-]+\.png)", text)) == NAMES


def test_there_is_no_other_picture_and_none_is_large() -> None:
    sizes = {path.name: path.stat().st_size for path in PICTURES.iterdir()}
    assert set(sizes) == NAMES
    assert [name for name, size in sizes.items() if size > MAX_BYTES] == []
