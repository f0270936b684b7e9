"""The console as a browser gets it from a node: over TLS, beside the API, whatever the node's server does."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import pytest

from fix_cluster import Api, apis_of, running_cluster, wait_until
from rangeland.engine.cluster import Cluster

WHOLE_BYTES = 150_000  # what a first view may take, compressed


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(2) as made:
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


def names_in(page: str) -> list[str]:
    return re.findall(r'(?:href|src)="(/console/[^"]+)"', page)


def test_every_node_serves_the_same_page_and_all_that_it_names(apis: list[Api]) -> None:
    pages = [api.get("/") for api in apis]
    assert pages[0].body == pages[1].body
    assert pages[0].headers["content-type"] == "text/html; charset=utf-8"
    names = names_in(pages[0].text)
    assert len(names) > 5
    answers = [api.get(name) for api in apis for name in names]
    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["cache-control"] for answer in answers} == {"public, max-age=31536000, immutable"}


def test_a_first_view_is_small(apis: list[Api]) -> None:
    packed = {"Accept-Encoding": "gzip"}
    page = apis[0].get("/", headers=packed)
    names = names_in(gzip.decompress(page.body).decode())
    assert len(page.body) + sum(len(apis[0].get(name, headers=packed).body) for name in names) < WHOLE_BYTES


def test_head_has_the_headers_and_no_body(apis: list[Api]) -> None:
    got, asked = apis[0].get("/"), apis[0].request("HEAD", "/")
    assert (asked.status, asked.body) == (200, b"")
    different = ("date", "server-timing")
    assert [{name: value for name, value in each.headers.items() if name not in different} for each in (asked,)] == [
        {name: value for name, value in got.headers.items() if name not in different}
    ]


def test_the_headers_of_security_come_through(apis: list[Api]) -> None:
    headers = apis[0].get("/").headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self' 'sha256-")
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-opener-policy"] == "same-origin"


def test_who_has_the_page_gets_a_304(apis: list[Api]) -> None:
    etag = apis[0].get("/").headers["etag"]
    answer = apis[1].get("/", headers={"If-None-Match": etag})
    assert (answer.status, answer.body) == (304, b"")


def test_its_answers_are_counted_as_one_endpoint(apis: list[Api]) -> None:
    apis[0].get("/console/nothing")
    lines = apis[0].get("/metrics").text.splitlines()
    assert any(
        line.startswith("rangeland_http_requests_total{") and '"/console"' in line and '"404"' in line
        for line in lines
    )


def test_another_node_serves_it_for_who_asks(apis: list[Api]) -> None:
    answer = apis[0].get("/?remote_node_id=2")
    assert (answer.status, answer.body) == (200, apis[1].get("/").body)
    assert apis[0].get("/?remote_node_id=99").status == 400


def test_it_is_there_while_the_server_is_down(cluster: Cluster, apis: list[Api]) -> None:
    cluster.servers[1].kill()
    wait_until(lambda: apis[1].get("health/?ready=true").status == 500, "the node knows it")
    assert apis[1].get("/").status == 200
