"""What clients in the field rely on and no other file of this directory shows: odd connections and a bare node.

Source: Cluster API v2.0, what clients were seen to rely on.
"""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fix_cluster import FORM, Api, free_ports
from fix_engine import start_servers
from rangeland.engine.cluster import Cluster
from rangeland.engine.node import NodeProcess
from rangeland.engine.workplace import Workplace
from rangeland.state.init import NODE_ROLE, init_cluster
from rangeland.tls import create_ca, create_node

NODE_PASSWORD = "of-the-nodes-9876543210"
H2C = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA"}


@pytest.fixture(scope="module")
def plain() -> Iterator[Api]:
    """A node with --insecure and nothing else: no locality, no attributes, no name of the cluster."""
    with Workplace(kind="test") as place:
        [server] = start_servers(place, 1, 18)
        init_cluster(server.url(), role_password=NODE_PASSWORD)
        server.create_role("demo", "LOGIN IN ROLE admin")
        port = free_ports(1)
        url = server.url("postgres", NODE_ROLE, NODE_PASSWORD) + "?sslmode=disable"
        settings: dict[str, str | bool] = {"server_url": url, "http_addr": f"localhost:{port}", "insecure": True}
        node = NodeProcess(place, server, name="bare", http_port=port, certs_dir=None, settings=settings)
        node.start()
        node.wait_until_ready()
        yield Api(node.url, None)
        node.stop(timeout_s=3)


def test_a_tls_hello_on_a_plain_port_gets_a_reply_and_no_reset(plain: Api) -> None:
    """A client that tries HTTPS first then sees at once what it has before it."""
    host, _, port = plain.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        outgoing = ssl.MemoryBIO()
        hello = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
        with pytest.raises(ssl.SSLWantReadError):
            hello.do_handshake()
        connection.sendall(outgoing.read())
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert plain.get("health/").status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_offer_of_h2c_does_no_harm_on_a_plain_port(plain: Api, method: str) -> None:
    path, body = ("nodes/", None) if method == "GET" else ("login/", "username=demo&password=wrong")
    with closing(plain.connect()) as connection:
        for _ in range(2):
            connection.request(method, f"/api/v2/{path}", body=body, headers=H2C)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == (200 if method == "GET" else 401)
            assert text.startswith(b'{"nodes":' if method == "GET" else b"the provided credentials")


def test_an_offer_of_h2c_does_no_harm_over_tls(apis: list[Api], token: str) -> None:
    assert len(apis[0].get("nodes/", token, headers=H2C).json["nodes"]) == 3


@pytest.mark.skipif(not shutil.which("curl"), reason="curl speaks HTTP/2, Python's own client does not")
@pytest.mark.parametrize("flag", ["--http2", "--http2-prior-knowledge", "--http1.1", "--http1.0"])
def test_every_version_of_http_is_answered_on_a_plain_port(plain: Api, flag: str) -> None:
    done = subprocess.run(
        ["curl", flag, "-sS", f"{plain.url}/api/v2/nodes/"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout[:9]) == (0, "", '{"nodes":')


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("is_ours", [True, False])
def test_a_presented_client_certificate_does_no_harm(
    cluster: Cluster, apis: list[Api], token: str, tmp_path: Path, version: ssl.TLSVersion, is_ours: bool
) -> None:
    """Of this cluster or of anybody else; nor does it open anything."""
    own = cluster.nodes[0].certs_dir
    assert own is not None
    if not is_ours:
        create_ca(tmp_path, tmp_path / "ca.key")
        create_node(tmp_path, tmp_path / "ca.key", ["localhost"])
    certs_dir = own if is_ours else tmp_path
    context = ssl.create_default_context(cafile=str(cluster.ca_cert))
    context.load_cert_chain(certs_dir / "node.crt", certs_dir / "node.key")
    context.minimum_version = context.maximum_version = version
    for sent, status in (({"X-Cockroach-API-Session": token}, 200), ({}, 401)):
        with closing(http.client.HTTPSConnection(apis[0].host, context=context, timeout=5)) as connection:
            connection.request("GET", "/api/v2/nodes/", headers=sent)
            assert connection.getresponse().status == status


@pytest.mark.parametrize("types", [[], [FORM], ["application/json", FORM], [FORM, FORM]])
def test_a_script_logs_in_with_the_query_an_empty_body_and_cuts_the_answer(
    cluster: Cluster, apis: list[Api], types: list[str]
) -> None:
    """Split at quotes, as `cut` and `sed` do."""
    with closing(apis[1].connect()) as connection:
        query = f"username={cluster.username}&password={cluster.password}"
        connection.putrequest("POST", f"/api/v2/login/?{query}")
        for each in types:
            connection.putheader("Content-Type", each)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        text = connection.getresponse().read().decode()
    empty, name, colon, token, end = text.split('"')
    assert (empty, name, colon, end) == ("{", "session", ":", "}")
    assert not re.search(r"[\"':;\s]", token)
    assert apis[2].get("nodes/", token).status == 200
    assert apis[0].log_out(token).status == 200
    assert [api.get("nodes/", token).status for api in apis] == [401, 401, 401]


def test_nothing_of_a_bare_node_is_left_out(plain: Api) -> None:
    """A strict client wants every name, also where there is nothing to tell."""
    [node] = plain.get("nodes/").json["nodes"]
    assert (node["cluster_name"], node["attrs"], node["locality"]) == ("", {}, {"tiers": []})
    for name in ("address", "sql_address"):
        assert node[name]["network_field"] == "tcp"
        assert node[name]["address_field"]
    version = node["ServerVersion"]
    assert (version["patch"], version["internal"]) == (0, 0)
    assert {"major", "minor", "major_val", "minor_val"} <= version.keys()


def test_metrics_are_numbers_under_dotted_names(apis: list[Api], token: str) -> None:
    for node in apis[0].get("nodes/", token).json["nodes"]:
        for metrics in (node["metrics"], *node["store_metrics"].values()):
            assert {type(value) for value in metrics.values()} <= {int, float}
            assert {name for name in metrics if not re.fullmatch(r"[a-z0-9_.\-]+", name)} == set()
        assert {"sql.conns", "sys.cpu.user.percent", "sys.rss", "sys.uptime"} <= node["metrics"].keys()


def test_a_client_that_falls_back_from_post_to_get_is_told_so(apis: list[Api], token: str) -> None:
    for path in ("nodes/", "sessions/", "ranges/hot/"):
        assert apis[0].request("POST", path, token=token, body="{}").status in (404, 405)
        assert apis[0].get(path, token).status == 200


@pytest.mark.parametrize("ready", ["", "?ready=true", "?ready=false"])
def test_health_is_200_where_all_is_well(apis: list[Api], plain: Api, ready: str) -> None:
    for api in (*apis, plain):
        answer = api.get(f"health/{ready}", headers={"Content-Type": "application/json"})
        assert (answer.status, answer.text) == (200, "{}")
        assert "application/json" in answer.headers["content-type"]
