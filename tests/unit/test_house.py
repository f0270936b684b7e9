"""The invariants of the house that can be read off its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import rangeland

SOURCE = Path(rangeland.__file__).parent


def modules(*, outside: str = "") -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not (outside and name.startswith(outside)):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def texts(tree: ast.Module) -> Iterator[str]:
    """String constants that are no docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_sql_is_in_sql_files_only() -> None:
    statement = re.compile(r"^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|ALTER|GRANT|WITH)\s+\S+\s+\S+", re.MULTILINE)
    found = [
        (name, text)
        for name, tree in modules()
        # engine/ sets up servers of its own; masking.py knows the beginnings of statements; checks/ suggests some to
        # people and runs none.
        if not name.startswith(("engine/", "collect/masking", "checks/"))
        for text in texts(tree)
        if statement.match(text)
    ]
    assert found == []


def test_only_config_reads_the_environment() -> None:
    readers = {
        name
        for name, tree in modules(outside="config.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    assert readers - {"engine/workplace.py"} == set()  # which hands a child a clean one


def test_every_module_says_in_a_docstring_what_it_is_for() -> None:
    silent = [name for name, tree in modules() if not ast.get_docstring(tree)]
    assert silent == []


def test_nobody_catches_everything() -> None:
    found = [
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert found == []
