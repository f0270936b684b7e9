"""A node's life: it serves before its server, renews its certificates, drains, and comes back as itself."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from fix_cluster import ANSWER_S, FORM, Api, free_ports, wait_until
from fix_engine import start_servers
from rangeland.config import program
from rangeland.engine.node import NodeProcess
from rangeland.engine.server import PostgresServer
from rangeland.engine.workplace import Workplace
from rangeland.state.init import NODE_ROLE, init_cluster
from rangeland.tls import create_ca, create_cluster_key, create_node

PASSWORD = "of-the-nodes-9876543210"
GENERIC = "An internal server error has occurred. Please check your Rangeland logs for more details.\n"
DRAIN_S = 15.0
MakeNode = Callable[..., NodeProcess]


@pytest.fixture(scope="module")
def server(workplace: Workplace) -> Iterator[PostgresServer]:
    """A primary that was set up."""
    [made] = start_servers(workplace, 1, 18)
    init_cluster(made.url(), role_password=PASSWORD)
    made.create_role("demo", "LOGIN IN ROLE admin")
    yield made
    made.remove()


@pytest.fixture(scope="module")
def certs_dir(workplace: Workplace) -> Path:
    directory = workplace.make_directory("life")
    create_ca(directory / "certs", directory / "ca.key")
    create_cluster_key(directory / "certs")
    create_node(directory / "certs", directory / "ca.key", ["localhost"])
    return directory / "certs"


@pytest.fixture
def make_node(workplace: Workplace, server: PostgresServer, certs_dir: Path) -> Iterator[MakeNode]:
    """`make_node(**settings)`: a started node of the server, killed when the test ends."""
    with ExitStack() as stack:

        def make(own_certs: Path = certs_dir, **settings: str) -> NodeProcess:
            port = free_ports(1)
            url = server.url("postgres", NODE_ROLE, PASSWORD) + "?sslmode=disable"
            node = NodeProcess(
                workplace,
                server,
                name=f"life{port}",
                http_port=port,
                certs_dir=own_certs,
                settings={
                    "server_url": url,
                    "http_addr": f"localhost:{port}",
                    "certs_dir": str(own_certs),
                    **settings,
                },
            )
            stack.callback(node.kill)
            node.start()
            return node

        yield make


@pytest.fixture
def node(make_node: MakeNode) -> NodeProcess:
    """A node that is ready."""
    made = make_node()
    made.wait_until_ready()
    return made


@pytest.fixture(scope="module")
def large(server: PostgresServer) -> str:
    """The path of an answer of 3 MB, which no buffer of a socket holds."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE large")
    with psycopg.connect(server.conninfo("large")) as connection:
        make = "EXECUTE format('CREATE TABLE a_table_with_a_long_name_%s ()', n)"
        connection.execute(f"DO $$ BEGIN FOR n IN 1..4000 LOOP {make}; END LOOP; END $$")
    return "nodes/local/ranges/"


def test_serves_before_its_server_is_up(server: PostgresServer, make_node: MakeNode) -> None:
    server.stop()
    try:
        node = make_node()
        wait_until(lambda: _api(node).get("health/").status == 200, "it serves")
        assert _api(node).get("health/?ready=true").text == GENERIC
        assert _api(node).get("nodes/", "CIGAiPis4fj3CBIQ3u0rRQJ3tD8yIqee4hipow==").status == 500
        assert _api(node).log_in("demo", "x").status in (500, 503)
        metrics = _api(node).get("/metrics")
        assert (metrics.status, 'rangeland_server_up{node_id="0"} 0.0' in metrics.text) == (200, True)
    finally:
        server.start()
    wait_until(lambda: _api(node).get("health/?ready=true").status == 200, "it is ready", timeout_s=5)


def test_a_port_of_another_node_is_one_line(node: NodeProcess) -> None:
    """Its HTTP server would share the port without a word, and every other request would be lost."""
    done = _start(f"--config={node.config}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"ERROR: can't listen on 127.0.0.1:{node.http_port}: address already in use")
    assert done.stderr.count("\n") == 1
    assert _api(node).get("health/?ready=true").status == 200


def test_a_cluster_key_of_another_cluster_is_one_line(node: NodeProcess, certs_dir: Path, tmp_path: Path) -> None:
    """Once a node has started with the right one."""
    other = Path(shutil.copytree(certs_dir, tmp_path / "certs"))
    create_cluster_key(other, overwrite=True)
    done = _start(f"--config={node.config}", f"--certs-dir={other}", f"--http-addr=localhost:{free_ports(1)}")
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: cluster.key is not the key of this server's cluster")
    assert done.stderr.count("\n") == 1


def test_keeps_its_id_when_it_is_started_again(server: PostgresServer, node: NodeProcess) -> None:
    before = _own_id(node, server)
    assert node.stop() == 0
    node.start()
    node.wait_until_ready()
    assert _own_id(node, server) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_node_ends_at_once(node: NodeProcess, number: signal.Signals) -> None:
    begun = time.monotonic()
    os.kill(node.pid, number)
    assert _exit_status(node) == 0
    assert time.monotonic() - begun < 3
    assert node.last_words().endswith("stopped")


def test_drains_open_requests_and_tells_that_it_is_not_ready(server: PostgresServer, node: NodeProcess) -> None:
    """A login whose body comes in two parts is open until the second part is there."""
    api = _api(node)
    body = f"username=demo&password={server.password_by_user['demo']}"
    with closing(api.connect()) as slow:
        slow.putrequest("POST", "/api/v2/login/")
        slow.putheader("Content-Type", FORM)
        slow.putheader("Content-Length", str(len(body)))
        slow.endheaders()
        slow.send(body[:10].encode())
        wait_until(lambda: "serving" in node.log.read_text("utf-8"), "it serves")
        assert api.get("health/?ready=true").status == 200
        os.kill(node.pid, signal.SIGTERM)
        wait_until(lambda: api.get("health/?ready=true").text == GENERIC, "it is not ready")
        assert api.get("health/").status == 200
        slow.send(body[10:].encode())
        answer = slow.getresponse()
        assert (answer.status, answer.read()[:12]) == (200, b'{"session":"')
    assert _exit_status(node) == 0


def test_a_load_balancer_is_told_by_503_that_a_node_drains(node: NodeProcess) -> None:
    api = _api(node)
    assert (api.get("/health").status, api.get("/health").text) == (200, "{\n\n}")
    assert api.get("/health?ready=1").status == 200
    with closing(_half_a_request(api)):
        os.kill(node.pid, signal.SIGTERM)
        wait_until(lambda: api.get("/health?ready=1").status == 503, "it is not ready")
        told = json.loads(api.get("/_admin/v1/health?ready=1").body)
        assert told == {"error": "draining", "code": 14, "message": "draining", "details": []}
        assert api.get("/health").status == 200
    assert _exit_status(node) == 0


def test_a_draining_node_is_shown_as_such(server: PostgresServer, node: NodeProcess) -> None:
    api = _api(node)
    token = _token(node, server)
    with closing(_half_a_request(api)):
        os.kill(node.pid, signal.SIGTERM)
        wait_until(lambda: 6 in _liveness(api, token), "DRAINING")
    assert _exit_status(node) == 0


def test_a_client_that_never_ends_its_request_holds_the_drain_no_longer_than_an_answer_takes(
    node: NodeProcess,
) -> None:
    with closing(_half_a_request(_api(node))):
        begun = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - begun < ANSWER_S + 1


def test_a_client_that_reads_slowly_gets_the_whole_answer(
    large: str, node: NodeProcess, server: PostgresServer
) -> None:
    """SIGTERM comes while most of it is still to be read."""
    whole = _api(node).get(large, _token(node, server)).body
    with _reading(node, server, large) as slow:
        received = slow.recv(1000)
        os.kill(node.pid, signal.SIGTERM)
        wait_until(lambda: "draining" in node.log.read_text("utf-8"), "it drains")
        while piece := slow.recv(65_536):
            received += piece
    assert len(received.partition(b"\r\n\r\n")[2]) >= len(whole) - 100_000  # rates come and go
    assert received.endswith(b"]}\r\n0\r\n\r\n")  # and the end of its last chunk
    assert _exit_status(node) == 0


def test_a_client_that_stops_reading_holds_the_drain_for_15_s(
    large: str, node: NodeProcess, server: PostgresServer
) -> None:
    with _reading(node, server, large) as stalled:
        stalled.recv(1000)
        begun = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - begun < DRAIN_S + 5


def test_sighup_takes_new_certificates(
    make_node: MakeNode, certs_dir: Path, workplace: Workplace, server: PostgresServer
) -> None:
    """New connections get them; one that is open goes on, and its requests are answered."""
    own = Path(shutil.copytree(certs_dir, workplace.path / f"own{free_ports(1)}"))
    node = make_node(own)
    node.wait_until_ready()
    before = _certificate(node)
    with closing(_api(node).connect()) as kept:
        kept.request("GET", "/api/v2/health/")
        kept.getresponse().read()
        create_node(own, certs_dir.parent / "ca.key", ["localhost"], overwrite=True)
        os.kill(node.pid, signal.SIGHUP)
        wait_until(lambda: _certificate(node) != before, "the new certificate is served", timeout_s=5)
    for _ in range(10):
        assert _api(node).get("health/?ready=true").status == 200
    assert node.stop() == 0


@pytest.mark.parametrize("spoil", ["remove", "garbage", "readable"])
def test_sighup_with_bad_certificates_keeps_the_old(
    make_node: MakeNode, certs_dir: Path, workplace: Workplace, spoil: str
) -> None:
    own = Path(shutil.copytree(certs_dir, workplace.path / f"own{free_ports(1)}"))
    node = make_node(own)
    node.wait_until_ready()
    before = _certificate(node)
    if spoil == "remove":
        (own / "node.crt").unlink()
    elif spoil == "garbage":
        (own / "node.key").write_text("x")
    else:
        (own / "node.key").chmod(0o644)
    os.kill(node.pid, signal.SIGHUP)
    wait_until(lambda: "the old stay" in node.log.read_text("utf-8"), "the log says so")
    assert _certificate(node) == before
    assert node.stop() == 0


def test_a_password_on_the_command_line_is_gone_from_the_process_title(
    server: PostgresServer, certs_dir: Path, workplace: Workplace
) -> None:
    port = free_ports(1)
    url = server.url("postgres", NODE_ROLE, PASSWORD) + "?sslmode=disable"
    flags = [f"--server-url={url}", f"--http-addr=localhost:{port}", f"--certs-dir={certs_dir}"]
    process = subprocess.Popen(
        [*program(), "start", *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"PATH": os.defpath, "HOME": str(workplace.path)},
    )
    try:
        api = Api(f"https://localhost:{port}", certs_dir / "ca.crt")
        wait_until(lambda: api.get("health/?ready=true").status == 200, "it is ready")
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert [each.cmdline() for each in family if PASSWORD in " ".join(each.cmdline())] == []
        assert "start" in family[0].cmdline()
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert PASSWORD not in errors.decode()


def test_unencrypted_localhost_http_still_wants_a_login(
    make_node: MakeNode, server: PostgresServer, workplace: Workplace, certs_dir: Path
) -> None:
    """TLS ends at a proxy on this host."""
    port = free_ports(1)
    url = server.url("postgres", NODE_ROLE, PASSWORD) + "?sslmode=disable"
    settings: dict[str, str | bool] = {
        "server_url": url,
        "http_addr": f"localhost:{port}",
        "certs_dir": str(certs_dir),
        "unencrypted_localhost_http": True,
    }
    node = NodeProcess(workplace, server, name=f"plain{port}", http_port=port, certs_dir=None, settings=settings)
    node.start()
    try:
        node.wait_until_ready()
        api = Api(node.url, None)
        assert api.get("sessions/").status == 401
        token = _token(node, server)
        assert api.get("sessions/", token).status == 200
    finally:
        assert node.stop() == 0


def test_a_node_that_was_stopped_for_a_while_trusts_no_token_that_ended_meanwhile(
    node: NodeProcess, server: PostgresServer
) -> None:
    api = _api(node)
    token = _token(node, server)
    assert api.get("sessions/", token).status == 200
    node.pause()
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("UPDATE rangeland.web_sessions SET revoked_at = now()")
    node.resume()
    wait_until(lambda: api.get("sessions/", token).status == 401, "401", timeout_s=1.5)


def test_while_nobody_can_say_whose_token_it_is_it_is_500_and_not_401(
    node: NodeProcess, server: PostgresServer
) -> None:
    """A client that gets 401 throws its token away."""
    api = _api(node)
    token = _token(node, server)
    server.stop()
    try:
        wait_until(lambda: api.get("health/?ready=true").status == 500, "the node knows")
        answer = api.get("sessions/", token)
        line, why, _ = answer.text.split("\n")
        assert (answer.status, f"{line}\n") == (500, GENERIC)
        assert why.startswith("nobody can say now whose token this is: ")
        assert answer.elapsed_s < ANSWER_S
        assert api.get("sessions/").status == 401
    finally:
        server.start()
    wait_until(lambda: api.get("sessions/", token).status == 200, "the token is good again")


def _api(node: NodeProcess) -> Api:
    return Api(node.url, node.certs_dir / "ca.crt" if node.certs_dir else None)


def _exit_status(node: NodeProcess) -> int:
    """Of a node that was told to end; a second signal may come when nobody is left to handle it."""
    try:
        wait_until(lambda: not node.is_running, "it ends", timeout_s=DRAIN_S + 3)
    except AssertionError as exc:
        exc.add_note(node.log.read_text("utf-8")[-2000:])
        raise
    return node.stop()


def _token(node: NodeProcess, server: PostgresServer) -> str:
    token: str = _api(node).log_in("demo", server.password_by_user["demo"]).json["session"]
    return token


@contextmanager
def _reading(node: NodeProcess, server: PostgresServer, path: str) -> Iterator[ssl.SSLSocket]:
    """A connection on which this was asked for, with little room for the answer on our side."""
    lines = (f"GET /api/v2/{path} HTTP/1.1", "Host: localhost", "Connection: close")
    request = "\r\n".join((*lines, f"X-Cockroach-API-Session: {_token(node, server)}", "", ""))
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", node.http_port))
        context = ssl.create_default_context(cafile=f"{node.certs_dir}/ca.crt")
        with context.wrap_socket(raw, server_hostname="localhost") as connection:
            connection.sendall(request.encode())
            yield connection


def _start(*flags: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "HOME": "/nonexistent"}
    return subprocess.run(
        [*program(), "start", *flags], capture_output=True, text=True, timeout=20, check=False, env=environment
    )


def _half_a_request(api: Api) -> http.client.HTTPConnection:
    """A connection with a request whose body never comes."""
    connection = api.connect()
    connection.putrequest("POST", "/api/v2/login/")
    connection.putheader("Content-Length", "100")
    connection.endheaders()
    connection.send(b"username=")
    api.get("health/")
    return connection


def _own_id(node: NodeProcess, server: PostgresServer) -> int:
    with psycopg.connect(server.conninfo()) as connection:
        query = "SELECT node_id FROM rangeland.nodes WHERE http_addr = %s"
        row = connection.execute(query.encode(), [f"localhost:{node.http_port}"]).fetchone()
    assert row is not None
    return int(row[0])


def _liveness(api: Api, token: str) -> list[int]:
    return [each["liveness_status"] for each in api.get("nodes/", token).json["nodes"]]


def _certificate(node: NodeProcess) -> str:
    return ssl.get_server_certificate(("localhost", node.http_port), timeout=5)


def test_a_login_ends_when_its_time_is_over(make_node: MakeNode, server: PostgresServer) -> None:
    node = make_node(web_session_timeout="2s")
    node.wait_until_ready()
    api = _api(node)
    token = _token(node, server)
    assert api.get("sessions/", token).status == 200
    wait_until(lambda: api.get("sessions/", token).status == 401, "the login has ended", timeout_s=4)
