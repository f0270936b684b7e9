"""Routing, methods and headers: what holds for every endpoint. Source: Cluster API v2.0, response framing."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import socket
import subprocess
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from fix_cluster import Api, Reply
from rangeland.engine.cluster import Cluster

READ_ONLY = (
    "databases",
    "databases/pgbench",
    "databases/pgbench/grants",
    "databases/pgbench/tables",
    "databases/pgbench/tables/pgbench_tellers",
    "health",
    "nodes",
    "nodes/local/ranges",
    "ranges/hot",
    "ranges/1",
    "sessions",
    "users",
)
GENERIC = "An internal server error has occurred. Please check your Rangeland logs for more details."


@pytest.mark.parametrize("path", READ_ONLY)
def test_every_path_answers_with_and_without_the_trailing_slash(apis: list[Api], token: str, path: str) -> None:
    assert [apis[0].get(each, token).status for each in (path, f"{path}/")] == [200, 200]


@pytest.mark.parametrize("path", READ_ONLY)
def test_an_answer_is_compact_json_that_no_cache_keeps(apis: list[Api], token: str, path: str) -> None:
    answer = apis[1].get(f"{path}/", token)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.body == answer.body.strip()
    assert b'": ' not in answer.body.partition(b"SELECT")[0]


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "sessions/", {"auth", "collect", "fan-out", "encode"}),
        ("GET", "nodes/local/ranges/", {"auth", "collect", "encode"}),
        ("GET", "nodes/2/ranges/?limit=1", {"auth", "fan-out", "encode"}),
        ("GET", "health/?remote_node_id=2", {"encode"}),
        ("GET", "nowhere/", set()),
        ("GET", "/api/v2//nodes/", set()),
        ("PUT", "nodes/", set()),
        ("HEAD", "nodes/", {"auth", "collect", "fan-out", "encode"}),
    ],
)
def test_every_answer_tells_where_its_time_went(
    apis: list[Api], token: str, method: str, path: str, needed: set[str]
) -> None:
    """Once: the phases, in milliseconds; of an answer that is passed on, the answering node's."""
    answer = apis[0].request(method, path, token=token)
    told = re.findall(r"([a-z-]+);dur=(\d+\.\d{3})(?:, |$)", answer.headers["server-timing"])
    assert [phase for phase, _ in told] == ["auth", "collect", "fan-out", "encode"]
    assert {phase for phase, ms in told if float(ms) > 0} >= needed
    assert all(float(ms) <= answer.elapsed_s * 1000 for _, ms in told)


@pytest.mark.parametrize("path", READ_ONLY)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_and_head_are_allowed_where_nothing_is_changed(
    apis: list[Api], token: str, method: str, path: str
) -> None:
    answer = apis[0].request(method, f"{path}/", token=token)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    require_error(answer, 405, "Method Not Allowed")


@pytest.mark.parametrize("path", READ_ONLY)
def test_head_is_get_without_the_body(apis: list[Api], token: str, path: str) -> None:
    head = apis[0].request("HEAD", f"{path}/", token=token)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == "application/json"
    assert int(head.headers["content-length"]) > 0
    assert apis[0].request("HEAD", "sessions/").status == 401


@pytest.mark.skipif(not shutil.which("curl"), reason="curl speaks HTTP/2, Python's own client does not")
@pytest.mark.parametrize(("path", "status"), [("health/", b"200"), ("sessions/", b"401"), ("nowhere/", b"404")])
def test_head_works_in_http_2_too(cluster: Cluster, apis: list[Api], path: str, status: bytes) -> None:
    arguments = ["--http2", "--cacert", str(cluster.ca_cert), "--head", "--silent", "--show-error"]
    done = subprocess.run(["curl", *arguments, f"{apis[0].url}/api/v2/{path}"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"HTTP/2 " + status)


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_login_and_logout_do_not_exist_for_other_methods_than_post(
    cluster: Cluster, apis: list[Api], method: str, path: str, slash: str
) -> None:
    """Nor do they go on and log in."""
    query = f"?username={cluster.username}&password={cluster.password}"
    require_error(apis[0].request(method, f"/api/v2{path}{slash}{query}"), 404, "not found")


@pytest.mark.parametrize(
    "path",
    [
        "/console",
        "/api/v2/",
        "/api/v1/nodes/",
        "/api/v2/nowhere/",
        "/api/v2/Nodes/",
        "/api/v2/nodes/1/",
        "/api/v2/nodes/ranges/",
        "/api/v2/ranges/",
        "/api/v2/ranges/abc/",
        "/api/v2/ranges/-1/",
        "/api/v2/ranges/1.5/",
        "/api/v2/ranges/%D9%A1/",
        "/api/v2/%zz/",
        "/api/v2/nodes/%00/",
        "/_peer/v1/",
    ],
)
def test_an_unknown_path_is_404_before_anybody_is_asked_who_they_are(apis: list[Api], path: str) -> None:
    require_error(apis[0].get(path), 404, "404 page not found")


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("/api/v2//nodes/", "/api/v2/nodes/"),
        ("//api/v2/nodes", "/api/v2/nodes"),
        ("/api/v2/sessions/../nodes/?limit=1&a=%2F%2F", "/api/v2/nodes/?limit=1&a=%2F%2F"),
        ("/api/v2/./nodes/", "/api/v2/nodes/"),
        ("/api/v2/%2e%2e/v2/%C3%BC/", "/api/v2/%C3%BC/"),
        ("/../../nowhere/", "/nowhere/"),
        ("//elsewhere.example/", "/elsewhere.example/"),
        ("/x/..//elsewhere.example", "/elsewhere.example"),
        ("/x/../%0d%0aX-Y:z", "/%0D%0AX-Y%3Az"),
        ("//", "/"),
    ],
)
def test_a_path_with_empty_parts_or_dots_is_sent_to_the_clean_one(apis: list[Api], path: str, cleaned: str) -> None:
    """Of this host always, and before anybody is asked who they are."""
    answer = apis[0].get(path)
    require_error(answer, 301, "Moved Permanently")
    assert answer.headers["location"] == cleaned


@pytest.mark.parametrize(
    "path", ["nodes/0/ranges/", "nodes/1/ranges/?ranges=x", "ranges/hot/?node_id=x", f"ranges/{2**63}/"]
)
def test_who_asks_is_looked_at_before_what_is_asked(apis: list[Api], token: str, path: str) -> None:
    assert (apis[0].get(path).status, apis[0].get(path, token).status) == (401, 400)


def test_no_answer_promises_https_for_ever(apis: list[Api], token: str) -> None:
    """Nobody could take that promise back, and behind a proxy it would be the proxy's to make."""
    for answer in (apis[0].get("health/"), apis[0].get("nodes/", token), apis[0].get("nowhere/")):
        assert "strict-transport-security" not in answer.headers


def test_a_very_long_path_and_query_are_answered(apis: list[Api], token: str) -> None:
    require_error(apis[0].get("x" * 8000), 404, "404 page not found")
    assert apis[0].get(f"sessions/?username={'x' * 8000}", token).json["sessions"] == []


def test_plain_http_on_the_tls_port_gets_a_tls_alert(apis: list[Api]) -> None:
    address = urlsplit(apis[0].url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=5) as plain:
        plain.sendall(b"GET /api/v2/health/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert plain.recv(1) == b"\x15"


def test_a_connection_is_kept_for_the_next_request(apis: list[Api]) -> None:
    with closing(apis[0].connect()) as connection:
        for _ in range(3):
            connection.request("GET", "/api/v2/health/")
            answer = connection.getresponse()
            assert (answer.read(), answer.will_close) == (b"{}", False)


def test_tolerates_a_content_type_on_a_request_without_a_body(apis: list[Api], token: str) -> None:
    headers = {"Content-Type": "application/json", "Accept": "*/*", "Upgrade": "h2c"}
    assert b'"nodes"' in apis[0].get("nodes/", token, headers=headers).body


@pytest.mark.parametrize("path", ["nodes/", "nodes/local/ranges/?system=true"])
def test_packs_an_answer_for_who_takes_gzip(apis: list[Api], token: str, path: str) -> None:
    """Large ones, in a thread, as small ones."""
    answer = apis[0].get(path, token, headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(gzip.decompress(answer.body)).keys() <= {"nodes", "ranges", "next"}


def test_packs_nothing_for_who_does_not_take_gzip_nor_a_small_answer(apis: list[Api], token: str) -> None:
    whole = apis[0].get("nodes/", token, headers={"Accept-Encoding": "gzip;q=0, br"})
    small = apis[0].get("health/", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in whole.headers
    assert (small.text, small.headers.get("content-encoding")) == ("{}", None)


def require_error(answer: Reply, status: int, text: str) -> None:
    """A plain-text error of one line, with the headers that every error has."""
    assert (answer.status, answer.text) == (status, f"{text}\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
