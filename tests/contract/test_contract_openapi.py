"""The document of the API against a loaded cluster: served, kept in answers and errors, read by strict clients."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from contract.record_examples import answer_type, operations
from contract.strict import departures_from
from contract.test_contract_access import REFERENCE_TOKEN
from fix_cluster import Api, Reply, log_in
from fix_scene import path_of, queries_of, range_id_of, scene
from rangeland.engine.cluster import Cluster
from rangeland.openapi.document import Json, openapi_document
from rangeland.openapi.written import SERVED

DOCUMENT = openapi_document()
GETS = {operation["operationId"]: (path, operation) for path, operation in operations(DOCUMENT, "get")}
PROTECTED = [name for name, (_, operation) in GETS.items() if operation["security"]]
ROOT = Path(__file__).parents[2]

each_get = pytest.mark.parametrize("name", GETS)


@pytest.fixture(scope="module")
def known(cluster: Cluster, apis: list[Api], token: str) -> Iterator[dict[str, object]]:
    """Values of parameters, of a cluster that has something to show in every answer."""
    with scene(cluster, apis[0], token):
        yield {"range_id": (range_id := range_id_of(apis[0], token)), "ranges": [range_id]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Strict pydantic models that a client of ours would generate: no conversion, no unknown field."""
    file = tmp_path_factory.mktemp("models") / "rangeland_models.py"
    argv: list[str | Path] = [
        Path(sys.executable).with_name("datamodel-codegen"),
        "--input",
        ROOT / SERVED / "openapi.json",
    ]
    argv += ["--input-file-type", "openapi", "--output", file, "--output-model-type", "pydantic_v2.BaseModel"]
    argv += ["--extra-fields", "forbid", "--strict-nullable", "--formatters", "builtin"]
    subprocess.run(argv, check=True, timeout=60)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[file.stem]


def answers(name: str, api: Api, token: str, known: dict[str, object]) -> Iterator[tuple[str, Reply]]:
    """Of an operation without parameters, with each alone, and of its second page; with what was asked."""
    path, operation = GETS[name]
    for query in queries_of(operation, known):
        asked = path_of(path, operation, known, **query)
        answer = api.get(asked, token)
        yield asked, answer
        if "limit" in query and "next" in answer.json:
            start = "start" if isinstance(answer.json["next"], str) else "offset"
            asked = path_of(path, operation, known, **query, **{start: answer.json["next"]})
            yield asked, api.get(asked, token)


@pytest.mark.parametrize("path", ["openapi.json", "openapi.json/"])
def test_every_node_serves_the_committed_document_to_anyone(apis: list[Api], path: str) -> None:
    for api in apis:
        answer = api.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.body == (ROOT / SERVED / "openapi.json").read_bytes()


@pytest.mark.parametrize("path", ["docs", "docs/"])
def test_every_node_serves_the_page_to_anyone_under_a_strict_policy(apis: list[Api], path: str) -> None:
    for api in apis:
        answer = api.get(path)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert answer.body == (ROOT / SERVED / "openapi.html").read_bytes()


OTHER_ANSWERS = {("show_restart_safety", 503)}  # of the same type: the primary is never safe to stop


@each_get
def test_live_answers_keep_their_schema_strictly(
    name: str, apis: list[Api], token: str, known: dict[str, object]
) -> None:
    type_name = answer_type(GETS[name][1])
    for api in apis:
        for asked, answer in answers(name, api, token, known):
            assert departures_from(DOCUMENT, type_name, json.loads(answer.body)) == [], asked
            assert answer.status == 200 or (name, answer.status) in OTHER_ANSWERS, asked


@each_get
def test_strict_generated_models_read_live_answers(
    name: str, apis: list[Api], token: str, known: dict[str, object], models: ModuleType
) -> None:
    model = getattr(models, answer_type(GETS[name][1]))
    for asked, answer in answers(name, apis[1], token, known):
        assert answer.status == 200, asked
        model.model_validate_json(answer.body, strict=True)


def test_the_cluster_showed_what_the_schemas_are_about(apis: list[Api], token: str, known: dict[str, object]) -> None:
    """Else the two tests above would have read empty lists."""
    sessions = apis[0].get("sessions/", token).json["sessions"]
    assert any(each.get("blocking_pids") for each in sessions)
    assert any(each.get("status") == 2 and "active_txn" in each for each in sessions)
    assert any(each["active_queries"] for each in sessions)
    assert len(apis[0].get("ranges/hot/", token).json["ranges"]) > 2
    assert len(apis[0].get(f"ranges/{known['range_id']}/", token).json["responses_by_node_id"]) == 3
    kinds = {each["kind"] for each in apis[0].get("nodes/1/ranges/", token).json["ranges"]}
    assert kinds >= {"table", "partition", "materialized view", "catalog"}


def test_strict_models_refuse_what_is_not_in_the_document(
    apis: list[Api], token: str, known: dict[str, object], models: ModuleType
) -> None:
    answer: Any = apis[0].get("nodes/", token).json
    for change in ({"unknown": 1}, {"started_at": "1"}, {"liveness_status": 7}, {"address": None}):
        changed = {**answer, "nodes": [{**answer["nodes"][0], **change}]}
        with pytest.raises(ValueError, match=next(iter(change))):
            models.NodesAnswer.model_validate_json(json.dumps(changed), strict=True)
        assert departures_from(DOCUMENT, "NodesAnswer", changed)


@pytest.mark.parametrize("name", PROTECTED)
@pytest.mark.parametrize(
    ("token_sent", "status"), [(None, 401), ("yes", 400), ("cookie", 400), (REFERENCE_TOKEN, 401)]
)
def test_refusals_are_documented_with_their_texts(
    name: str, token_sent: str | None, status: int, apis: list[Api]
) -> None:
    path, operation = GETS[name]
    require_documented(operation, apis[0].get(path_of(path, operation, {}), token_sent), status)


def test_a_stranger_s_refusal_is_documented(cluster: Cluster, apis: list[Api]) -> None:
    token = log_in(cluster, apis[0], "stranger")
    for name in PROTECTED:
        path, operation = GETS[name]
        require_documented(operation, apis[0].get(path_of(path, operation, {}), token), 403)


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("list_node_ranges", "nodes/0/ranges/", 400),
        ("list_node_ranges", "nodes/99/ranges/", 500),
        ("list_node_ranges", "nodes/1/ranges/?ranges=x", 400),
        ("list_hot_ranges", "ranges/hot/?node_id=x", 400),
        ("show_range", "ranges/99999999999999999999/", 400),
        ("show_range", "ranges/x/", 404),
        ("show_database", "databases/no_such/", 404),
        ("show_database", "databases/no-such/", 404),
        ("list_grants", "databases/no_such/grants/", 404),
        ("show_table", "databases/pgbench/tables/no_such/", 404),
        ("show_health", "health/?ready=x", 400),
        ("show_root_health", "/health?ready=x", 400),
    ],
)
def test_errors_are_documented_with_their_texts(
    name: str, path: str, status: int, apis: list[Api], token: str
) -> None:
    require_documented(GETS[name][1], apis[0].get(path, token), status)


def test_errors_of_a_login_are_documented_with_their_texts(apis: list[Api]) -> None:
    operation = DOCUMENT["paths"]["/api/v2/login/"]["post"]
    require_documented(operation, apis[0].log_in("", ""), 400)
    require_documented(operation, apis[0].log_in("nobody", "x", client="127.9.8.7"), 401)
    require_documented(operation, apis[0].request("POST", "login/", body=b"x" * 70_000), 413)
    require_documented(DOCUMENT["paths"]["/api/v2/logout/"]["post"], apis[0].log_out(None), 400)


def require_documented(operation: Json, answer: Reply, status: int) -> None:
    """The status has that text as an example: its first line, but for numbers."""
    assert answer.status == status, answer.text
    examples = operation["responses"][str(status)]["content"]["text/plain"]["examples"].values()
    assert without_numbers(answer.text) in [without_numbers(each["value"]) for each in examples]


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text.splitlines()[0])
