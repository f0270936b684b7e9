"""The programs that stand in the how-to pages, for the tests that run them."""

from __future__ import annotations

import re
from pathlib import Path

HOWTO = Path(__file__).parents[1] / "docs" / "howto"


def programs_of(page: str, section: str) -> list[str]:
    """Every shell program of a section, in its order; those in a list are indented."""
    text = (HOWTO / page).read_text("utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
