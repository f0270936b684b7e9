"""The files that are computed, and what each should hold."""

from __future__ import annotations

import json
from pathlib import Path

from rangeland.errors import RangelandError
from rangeland.openapi.changes import breaking_changes, skeleton
from rangeland.openapi.document import Json, as_text, openapi_document
from rangeland.openapi.page import page_of
from rangeland.openapi.problems import filled_problems
from rangeland.openapi.tables import filled

SERVED = Path("src/rangeland/api")
PAGES = Path("docs/reference/endpoints")
PROBLEMS = Path("docs/reference/problems.md")
BASELINE = Path("tests/contract/openapi-baseline.json")


class BrokenContractError(RangelandError):
    """The API lost or changed what clients rely on."""


def written_files(root: Path) -> dict[Path, str]:
    """What each computed file of the working copy at `root` should hold, by its path in there."""
    document = openapi_document()
    pages = sorted((root / PAGES).glob("*.md"))
    return {
        SERVED / "openapi.json": as_text(document),
        SERVED / "openapi.html": page_of(document),
        PROBLEMS: filled_problems((root / PROBLEMS).read_text("utf-8")),
        **{path.relative_to(root): filled(path.read_text("utf-8"), document) for path in pages},
    }


def write_all(root: Path) -> list[Path]:
    """Write the files that are not what they should be, and the baseline; those that were written.

    Raises: BrokenContractError, with nothing written. Who breaks the API on purpose takes it out of the baseline.
    """
    document = openapi_document()
    if broken := breaking_changes(baseline(root), document):
        raise BrokenContractError("the API would lose what clients rely on:\n  " + "\n  ".join(broken))
    files = {**written_files(root), BASELINE: as_text(skeleton(document))}
    stale = {path: text for path, text in files.items() if not is_written(root / path, text)}
    for path, text in stale.items():
        (root / path).write_text(text, encoding="utf-8")
    return list(stale)


def baseline(root: Path) -> Json:
    """The skeleton of the document that must not shrink."""
    found: Json = json.loads((root / BASELINE).read_text("utf-8"))
    return found


def is_written(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text
