"""Borders between rooms that imports alone don't show."""

import ast
from collections.abc import Iterator
from pathlib import Path

import rangeland

SOURCE = Path(rangeland.__file__).parent
STARLETTE_USERS = ("api/", "console/", "node/http.py")  # the edge, and the port that serves it
PURE = {"base64", "collections", "dataclasses", "functools", "heapq", "math", "msgspec", "operator", "re", "typing"}


def imported(path: Path) -> Iterator[str]:
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_a_status_is_chosen_in_api_and_console_only() -> None:
    """Answers are Starlette's responses and HttpError: no other room can make one."""
    users = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if any(name.partition(".")[0] == "starlette" or name == "rangeland.api.replies" for name in imported(path))
    }
    assert [name for name in sorted(users) if not name.startswith(STARLETTE_USERS)] == []
    assert "api/replies.py" in users


def test_merging_does_no_io_and_knows_no_clock() -> None:
    used = {
        name.partition(".")[0]
        for path in (SOURCE / "merge").glob("*.py")
        for name in imported(path)
        if not name.startswith(("rangeland.wire", "rangeland.merge"))
    }
    assert used <= PURE


def test_the_scanner_is_imported_late() -> None:
    """It takes 8 MB, in every process that imports it at the top."""
    at_the_top = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom) and "postgast" in ast.unparse(node)
    }
    assert at_the_top == set()
    assert "postgast" in imported(SOURCE / "collect" / "statements.py")
