"""The files that are computed, and what each should hold."""

from __future__ import annotations

from pathlib import Path

from rangeland.openapi.document import as_text, openapi_document
from rangeland.openapi.page import page_of

SERVED = Path("src/rangeland/api")


def written_files(root: Path) -> dict[Path, str]:
    """What each computed file of the working copy at `root` should hold, by its path in there."""
    document = openapi_document()
    return {SERVED / "openapi.json": as_text(document), SERVED / "openapi.html": page_of(document)}


def write_all(root: Path) -> list[Path]:
    """Write the files that are not what they should be; those."""
    stale = [(path, text) for path, text in written_files(root).items() if not is_written(root / path, text)]
    for path, text in stale:
        (root / path).write_text(text, encoding="utf-8")
    return [path for path, _ in stale]


def is_written(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text
