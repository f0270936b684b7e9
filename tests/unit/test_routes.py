"""Each public row of the table of routes says what the document of the API needs, and says what its handler does."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest

from rangeland.api import failures as f
from rangeland.api.asking import Asking
from rangeland.api.authenticate import Access
from rangeland.api.routes import ENDPOINTS, Endpoint
from rangeland.openapi.document import public_endpoints

READS = ("parameter", "path_part")

each_public_row = pytest.mark.parametrize("endpoint", public_endpoints(), ids=lambda endpoint: endpoint.operation)


def reached_from(handler: object) -> Iterator[ast.AST]:
    """The handler's own code and that of every function of api/ that it calls, by name or as a method of Asking."""
    to_read, seen = [handler], set()
    while to_read:
        function = to_read.pop()
        if not isinstance(function, FunctionType) or function in seen:
            continue
        if not function.__module__.startswith("rangeland.api"):
            continue
        seen.add(function)
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        yield tree
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                to_read.append(function.__globals__.get(node.id))
            elif isinstance(node, ast.Attribute):
                to_read.append(vars(Asking).get(node.attr))


def calls(handler: object) -> Iterator[tuple[str, ast.Call]]:
    """Every call that is reached, by the last part of what is called."""
    for tree in reached_from(handler):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func).rpartition(".")[2], node


def constants(nodes: list[ast.expr]) -> set[Any]:
    return {node.value for node in nodes if isinstance(node, ast.Constant)}


def read_by(handler: object) -> set[str]:
    """Names of the parameters that a handler asks for."""
    return {text for name, call in calls(handler) if name in READS for text in constants(call.args)}


def statuses_of(handler: object) -> set[int]:
    """Statuses that a handler chooses, 200 apart."""
    found: set[int] = set()
    for name, call in calls(handler):
        if name == "HttpError":
            found |= constants(call.args[:1])
        elif name == "internal_error":
            found.add(500)
        found |= constants([each.value for each in call.keywords if each.arg == "status"])
    return found


@each_public_row
def test_a_row_says_what_the_document_needs(endpoint: Endpoint) -> None:
    assert endpoint.returns is not None, "what does a 200 hold?"
    assert inspect.getdoc(endpoint.answer), "the handler's docstring is the summary"


@each_public_row
def test_a_row_declares_the_parameters_that_its_handler_reads(endpoint: Endpoint) -> None:
    declared = {each.name for each in endpoint.takes if each.where != "form"}
    if endpoint.operation != "log_in":  # which reads the query as a form
        assert read_by(endpoint.answer) == declared
    in_path = {each.name for each in endpoint.takes if each.where == "path"}
    assert in_path == {part.strip("{}") for part in endpoint.public_path.split("/") if part.startswith("{")}


@each_public_row
def test_a_row_declares_the_errors_that_its_handler_makes(endpoint: Endpoint) -> None:
    chosen = statuses_of(endpoint.answer)
    assert chosen - {each.status for each in endpoint.failures} == set()
    router = {f.NOT_A_NAME, f.NOT_DIGITS}
    assert {each.status for each in endpoint.fails if each not in router} - chosen == set()


@each_public_row
def test_a_row_declares_the_paths_that_its_types_refuse(endpoint: Endpoint) -> None:
    assert (":name}" in endpoint.path) == (f.NOT_A_NAME in endpoint.fails)
    assert (":digits}" in endpoint.path) == (f.NOT_DIGITS in endpoint.fails)


def test_names_of_operations_are_each_there_once() -> None:
    names = [endpoint.operation for endpoint in public_endpoints()]
    assert sorted(set(names)) == sorted(names)


def test_only_rows_for_peers_are_private() -> None:
    private = [endpoint for endpoint in ENDPOINTS if endpoint not in public_endpoints()]
    assert {endpoint.access for endpoint in private} == {Access.PEER}
    assert {endpoint.path.split("/")[1] for endpoint in private} == {"_peer"}


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("/api/v2/nodes", "/api/v2/nodes/"),
        ("/api/v2/databases/{database:name}/tables/{table:name}", "/api/v2/databases/{database}/tables/{table}/"),
        ("/api/v2/openapi.json", "/api/v2/openapi.json"),
        ("/_admin/v1/health", "/_admin/v1/health"),
    ],
)
def test_a_path_is_documented_with_its_last_slash_unless_it_is_a_file(path: str, public: str) -> None:
    assert Endpoint("GET", path, Access.ANYONE, ENDPOINTS[0].answer).public_path == public


def test_the_reader_of_handlers_sees_what_they_call() -> None:
    """Else the tests above would hold whatever the rows say."""
    by_name = {endpoint.operation: endpoint.answer for endpoint in public_endpoints()}
    assert read_by(by_name["list_grants"]) == {"database", "limit", "offset"}  # in a function below it
    assert read_by(by_name["list_sessions"]) >= {"start"}  # in another module
    assert statuses_of(by_name["log_in"]) == {400, 401, 408, 413, 500, 503}  # 408 and 413 in a method
    assert statuses_of(by_name["show_root_health"]) == {400, 503}
