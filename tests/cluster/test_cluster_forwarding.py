"""`remote_node_id`: any node passes a whole request on to the one that is named. Source: Cluster API v2.0."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlencode

import psycopg
import pytest

from fix_cluster import ANSWER_S, FORM, Api, apis_of, log_in, new_client, running_cluster, wait_until
from fix_engine import wait_for_replay
from rangeland.cluster.peer_token import PeerTokens
from rangeland.engine.cluster import Cluster
from rangeland.tls import create_ca, create_node, read_cluster_keys

GENERIC = "An internal server error has occurred. Please check your Rangeland logs for more details."
HERE = "nodes/local/ranges/?limit=1"  # tells by its source_node_id who has answered


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes, of which one may be broken for a while."""
    with running_cluster(2) as made:
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture(scope="module")
def token(cluster: Cluster, apis: list[Api]) -> str:
    return log_in(cluster, apis[0], cluster.username)


def who(api: Api, token: str, path: str = HERE, **headers: str) -> int:
    """The id of the node that answers."""
    node_id: int = api.get(path, token, headers=headers).json["ranges"][0]["source_node_id"]
    return node_id


def test_the_parameter_names_the_node_that_answers(apis: list[Api], token: str) -> None:
    for number, api in enumerate(apis, 1):
        assert who(api, token) == number
        assert [who(api, token, f"{HERE}&remote_node_id={other}") for other in (1, 2)] == [1, 2]
        assert who(api, token, f"{HERE}&remote_node_id=local") == number
        assert who(api, token, f"{HERE}&remote_node_id=") == number


def test_the_cookie_names_it_too_and_the_parameter_wins(apis: list[Api], token: str) -> None:
    cookie = {"Cookie": "a=b; remote_node_id=2; c=d"}
    assert who(apis[0], token, **cookie) == 2
    assert who(apis[0], token, f"{HERE}&remote_node_id=1", **cookie) == 1
    assert who(apis[1], token, f"{HERE}&remote_node_id=local", Cookie="remote_node_id=1") == 2
    assert who(apis[0], token, Cookie="xremote_node_id=2") == 1


def test_the_session_may_be_in_the_cookie_beside_it(apis: list[Api], token: str) -> None:
    assert who(apis[0], "cookie", Cookie=f"session={token}; remote_node_id=2") == 2
    assert apis[0].get(HERE, "cookie", headers={"Cookie": "remote_node_id=2"}).status == 400


@pytest.mark.parametrize("value", ["0", "-1", "x", "LOCAL", "2147483648", "1,2", "%20", "1.0", "http://127.0.0.1/"])
def test_a_node_id_that_is_none_is_400_before_routing(apis: list[Api], value: str) -> None:
    for path in ("sessions/", "nowhere/", "/", "/health"):
        answer = apis[0].get(f"{path}?remote_node_id={value}")
        assert answer.status == 400
        assert answer.text.startswith("server: error parsing nodeID from request: ")
        assert "set-cookie" not in answer.headers


def test_a_node_that_never_was_is_400(apis: list[Api]) -> None:
    answer = apis[0].get("health/?remote_node_id=99")
    assert (answer.status, answer.text.partition(": the")[0]) == (400, "unable to get address for nodeID: 99")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("value", ["99", "x"])
def test_a_browser_gets_rid_of_a_cookie_that_names_nobody(apis: list[Api], value: str) -> None:
    answer = apis[0].get("health/", headers={"Cookie": f"remote_node_id={value}"})
    assert answer.status == 400
    assert answer.headers["set-cookie"] == "remote_node_id=; Path=/; Max-Age=0"


def test_passes_on_status_text_and_headers_as_they_are(apis: list[Api], token: str) -> None:
    there = "remote_node_id=2"
    refused = apis[0].get(f"sessions/?{there}")
    assert (refused.status, refused.text) == (401, "invalid session header\n")
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert apis[0].get(f"nowhere/?{there}").text == "404 page not found\n"
    wrong = apis[0].request("DELETE", f"nodes/?{there}")
    assert (wrong.status, set(wrong.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    head = apis[0].request("HEAD", f"nodes/?{there}", token=token)
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert [name for name in refused.headers if name.startswith("x-rangeland-")] == []


def test_passes_on_a_compressed_answer_as_it_is(apis: list[Api], token: str) -> None:
    path = "nodes/local/ranges/?system=true&remote_node_id=2"
    packed = apis[0].get(path, token, headers={"Accept-Encoding": "gzip"})
    plain = apis[0].get(path, token)
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    ids = [each["desc"]["range_id"] for each in json.loads(gzip.decompress(packed.body))["ranges"]]
    assert ids == [each["desc"]["range_id"] for each in plain.json["ranges"]]


@pytest.mark.parametrize("body", [True, False])
def test_one_may_log_in_and_out_at_another_node(cluster: Cluster, apis: list[Api], body: bool) -> None:
    form = urlencode({"username": cluster.username, "password": cluster.password})
    if body:
        headers = {"Content-Type": FORM}
        answer = apis[0].request("POST", "login/?remote_node_id=2", headers=headers, body=form)
    else:
        answer = apis[0].request("POST", f"login/?remote_node_id=2&{form}")
    token = answer.json["session"]
    assert apis[0].request("POST", "logout/?remote_node_id=2", token=token).json == {"logged_out": True}
    assert [api.get("nodes/", token).status for api in apis] == [401, 401]


def test_a_body_over_64_kb_is_413_here_already(apis: list[Api]) -> None:
    answer = apis[0].request("POST", "login/?remote_node_id=2", body=b"x" * 65_537)
    assert (answer.status, answer.text) == (413, "the body is larger than 65536 bytes\n")


@pytest.mark.parametrize("path", ["/_peer/v1/hello", "/%5Fpeer/v1/hello"])
def test_a_question_of_a_peer_is_never_passed_on(apis: list[Api], path: str) -> None:
    """Not even to say which nodes there are."""
    for value in ("2", "99", "x"):
        answer = apis[0].request("POST", f"{path}?remote_node_id={value}", body=b"{}")
        assert (answer.status, answer.text) == (403, "not signed with this cluster's key\n")


@pytest.mark.parametrize("target", ["@localhost/", "/../../", "//localhost:1/x", "/\\localhost/", "*"])
def test_a_strange_target_leads_to_no_other_host(apis: list[Api], target: str) -> None:
    """Of whatever kind the answer is, it is of a node."""
    answer = apis[0].request(
        "GET", target if target.startswith("/") else f"/{target}", headers={"Cookie": "remote_node_id=2"}
    )
    assert answer.status in (301, 400, 404)
    assert not answer.headers.get("location", "/x").startswith(("//", "/\\"))
    if target in ("@localhost/", "*"):
        with closing(apis[0].connect()) as connection:
            connection.putrequest("GET", target)
            connection.putheader("Cookie", "remote_node_id=2")
            connection.endheaders()
            assert connection.getresponse().status in (301, 400, 404)


def test_a_redirect_to_a_clean_path_keeps_the_node(apis: list[Api]) -> None:
    answer = apis[0].get("/api//v2/health/?remote_node_id=2")
    assert (answer.status, answer.headers["location"]) == (301, "/api/v2/health/?remote_node_id=2")


def test_wrong_logins_count_for_the_client_and_not_for_the_node(cluster: Cluster, apis: list[Api]) -> None:
    client = new_client()
    form = urlencode({"username": cluster.username, "password": "wrong"})
    claims = {"Content-Type": FORM, "X-Forwarded-For": "192.0.2.7", "X-Rangeland-Client": "192.0.2.8"}
    there = "login/?remote_node_id=1"
    assert apis[1].request("POST", there, headers=claims, body=form, client=client).status == 401
    log = cluster.nodes[0].log.read_text("utf-8")
    assert f"client_address={client}" in log
    assert "192.0.2." not in log


@pytest.mark.parametrize("signature", ["", "x", "a.b.c"])
def test_who_claims_to_be_a_node_needs_the_cluster_key(apis: list[Api], token: str, signature: str) -> None:
    headers = {"X-Rangeland-Forwarded": signature, "X-Rangeland-Client": "192.0.2.9"}
    answer = apis[0].get(HERE, token, headers=headers)
    assert (answer.status, answer.text) == (403, "not signed with this cluster's key\n")


def signed(cluster: Cluster, node_id: int, address: str, *, off_s: float = 0.0) -> dict[str, str]:
    """As a node signs that it passes a request of this address on to that node."""
    certs_dir = cluster.nodes[0].certs_dir
    assert certs_dir is not None
    text = f"a request to node {node_id} for the client {address}"
    token = PeerTokens(read_cluster_keys(certs_dir)).sign(text, now_s=time.time() + off_s)
    return {"X-Rangeland-Forwarded": token, "X-Rangeland-Client": address}


def test_a_signature_is_for_one_node_and_one_address(cluster: Cluster, apis: list[Api], token: str) -> None:
    right = signed(cluster, 1, "192.0.2.10")
    assert apis[0].get(HERE, token, headers=right).status == 200
    assert apis[1].get(HERE, token, headers=right).status == 403
    assert apis[0].get(HERE, token, headers={**right, "X-Rangeland-Client": "192.0.2.11"}).status == 403


def test_a_request_that_was_passed_on_is_not_passed_on_again(cluster: Cluster, apis: list[Api], token: str) -> None:
    assert who(apis[0], token, f"{HERE}&remote_node_id=2", **signed(cluster, 1, "192.0.2.12")) == 1


@pytest.mark.parametrize("off_s", [600.0, -600.0])
def test_a_signature_by_a_clock_that_is_off_is_told_the_time(
    cluster: Cluster, apis: list[Api], token: str, off_s: float
) -> None:
    """With which the other node signs again, as it does with its questions."""
    answer = apis[0].get(HERE, token, headers=signed(cluster, 1, "192.0.2.13", off_s=off_s))
    assert answer.status == 401
    assert abs(int(answer.headers["x-rangeland-time-ns"]) / 1e9 - time.time()) < 5
    assert "x-rangeland-node" not in answer.headers


def test_no_password_of_a_query_is_in_a_log(cluster: Cluster, apis: list[Api]) -> None:
    secret = "a-secret-in-a-query"
    for path in ("login/", "nowhere/", "/../login/"):
        query = f"{path}?username=demo&password={secret}&remote_node_id=2"
        apis[0].request("POST", query, client=new_client())
    assert [node.name for node in cluster.nodes if secret in node.log.read_text("utf-8")] == []


@pytest.mark.skipif(not shutil.which("curl"), reason="curl speaks HTTP/2, Python's own client does not")
def test_works_in_http_2_too(cluster: Cluster, apis: list[Api], token: str) -> None:
    session = ("-H", f"X-Cockroach-API-Session: {token}")
    url = f"{apis[0].url}/api/v2/{HERE}&remote_node_id=2"
    command = [
        "curl",
        "--http2",
        "-sS",
        "--compressed",
        "--cacert",
        str(cluster.ca_cert),
        *session,
        "-w",
        " %{http_version}",
    ]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    body, _, version = done.stdout.rpartition(" ")
    assert (json.loads(body)["ranges"][0]["source_node_id"], version) == (2, "2")


def test_what_is_about_one_connection_stays_there(cluster: Cluster, apis: list[Api], token: str) -> None:
    """A header that Connection names is one; and a body may come in chunks."""
    hop = {"Connection": "keep-alive, X-Cockroach-API-Session", "TE": "trailers", "Upgrade": "h2c"}
    assert apis[0].get(f"{HERE}&remote_node_id=2", token, headers=hop).text == "invalid session header\n"
    form = urlencode({"username": cluster.username, "password": cluster.password}).encode()
    with closing(apis[0].connect()) as connection:
        chunks = iter([form[:5], form[5:]])
        connection.request("POST", "/api/v2/login/?remote_node_id=2", body=chunks, encode_chunked=True)
        answer = connection.getresponse()
        assert (answer.status, answer.read()[:11]) == (200, b'{"session":')
        connection.request("GET", "/api/v2/health/?remote_node_id=2")
        assert connection.getresponse().read() == b"{}"


@pytest.fixture(scope="module")
def large(cluster: Cluster) -> str:
    """The path of a large answer of node 2."""
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE large")
    with psycopg.connect(cluster.servers[0].conninfo("large")) as connection:
        make = "EXECUTE format('CREATE TABLE a_table_with_a_long_name_%s ()', n)"
        connection.execute(f"DO $$ BEGIN FOR n IN 1..2000 LOOP {make}; END LOOP; END $$")
    wait_for_replay(cluster.servers[0], cluster.servers[1], timeout_s=30)
    return "/api/v2/nodes/local/ranges/?remote_node_id=2"


def test_a_large_answer_comes_whole(apis: list[Api], token: str, large: str) -> None:
    answer = apis[0].get(large, token)
    assert len(answer.body) > 1_000_000
    assert len(answer.json["ranges"]) > 2000


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_silent_node_is_500_in_time_and_named(
    cluster: Cluster, apis: list[Api], token: str, number: signal.Signals
) -> None:
    second = cluster.nodes[1]
    os.kill(second.pid, number)
    try:
        for _ in range(2):
            answer = apis[0].get(f"{HERE}&remote_node_id=2", token)
            line, why, rest = answer.text.split("\n")
            assert (answer.status, line, rest) == (500, GENERIC, "")
            assert why.startswith("failed to dial into node 2 (NODE_STATUS_UNAVAILABLE): ")
            assert answer.elapsed_s < ANSWER_S
        assert who(apis[0], token, f"{HERE}&remote_node_id=1") == 1
    finally:
        if number is signal.SIGKILL:
            wait_until(lambda: not second.is_running, "it is gone")
            second.start()
        else:
            second.resume()
    wait_until(lambda: who_or_nobody(apis[0], token) == 2, "it is asked again")


def test_a_node_with_another_authority_s_certificate_is_sent_nothing(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """Its place may have been taken: a password must not go there."""
    certs_dir = cluster.nodes[1].certs_dir
    assert certs_dir is not None
    kept = certs_dir.with_name("kept")
    shutil.copytree(certs_dir, kept)
    other = certs_dir.with_name("other")
    create_ca(other, other / "ca.key")
    create_node(other, other / "ca.key", ["localhost", "127.0.0.1"])
    for name in ("ca.crt", "node.crt", "node.key"):
        shutil.copy2(other / name, certs_dir / name)
    cluster.nodes[1].stop()
    cluster.nodes[1].start()
    try:
        form = urlencode({"username": cluster.username, "password": cluster.password})
        wait_until(lambda: Api(cluster.nodes[1].url, other / "ca.crt").get("health/").status == 200, "it serves")
        answer = apis[0].request("POST", "login/?remote_node_id=2", headers={"Content-Type": FORM}, body=form)
        assert answer.status == 500
        assert answer.text.startswith(f"{GENERIC}\nfailed to dial into node 2 (NODE_STATUS_UNAVAILABLE): ")
    finally:
        for name in ("ca.crt", "node.crt", "node.key"):
            shutil.copy2(kept / name, certs_dir / name)
        cluster.nodes[1].stop()
        cluster.nodes[1].start()
    wait_until(lambda: who_or_nobody(apis[0], token) == 2, "it is asked again")


def test_a_decommissioned_node_is_named_by_nobody(cluster: Cluster, apis: list[Api], token: str) -> None:
    """Of an active one it is said that it can't be reached."""
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        columns = "node_id, http_addr, sql_addr, membership"
        add = f"INSERT INTO rangeland.nodes ({columns}) VALUES (%s, %s, 'localhost:9', %s)"
        for node_id, membership in ((77, "decommissioned"), (78, "active")):
            connection.execute(add.encode(), [node_id, f"localhost:{node_id}", membership])
    wait_for_replay(cluster.servers[0], cluster.servers[1])
    cluster.nodes[1].stop()
    cluster.nodes[1].start()  # it reads then who there is
    cluster.nodes[1].wait_until_ready()
    gone = apis[1].get("health/?remote_node_id=77")
    assert (gone.status, gone.text.partition(": the")[0]) == (400, "unable to get address for nodeID: 77")
    silent = apis[1].get("health/?remote_node_id=78")
    assert (silent.status, silent.text.partition(" (")[0]) == (500, f"{GENERIC}\nfailed to dial into node 78")


def who_or_nobody(api: Api, token: str) -> int:
    answer = api.get(f"{HERE}&remote_node_id=2", token)
    return 0 if answer.status != 200 else answer.json["ranges"][0]["source_node_id"]
