"""A real nginx in front of nodes, with the configuration of docs/howto/behind-a-proxy.md."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest

from fix_cluster import ANSWER_S, FORM, Api, free_ports, new_client, wait_until
from fix_engine import start_servers
from rangeland.engine.node import NodeProcess
from rangeland.engine.server import PostgresServer
from rangeland.engine.workplace import Workplace
from rangeland.state.init import NODE_ROLE, init_cluster
from rangeland.tls import copy_shared, create_ca, create_cluster_key, create_node

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "behind-a-proxy.md"
NAMES = ["localhost", "127.0.0.1", "pg1.example.com", "rangeland.example.com"]
PASSWORD = "of-the-nodes-9876543210"
AROUND = """
worker_processes 1;
error_log stderr warn;
pid nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {blocks}
}}
"""

pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed (Debian: nginx-light)")


@dataclass
class Site:
    """`plain` serves HTTP behind the first block of the page, `pair` serve HTTPS behind the second."""

    servers: list[PostgresServer]
    plain: NodeProcess
    pair: list[NodeProcess]
    directory: Path
    proxy: Api  # in front of `plain`, beside the primary
    balancer: Api  # in front of `pair`

    @property
    def form(self) -> str:
        return urlencode({"username": "demo", "password": self.servers[0].password_by_user["demo"]})

    def log_in(self, api: Api) -> str:
        token: str = api.request("POST", "login/", headers={"Content-Type": FORM}, body=self.form).json["session"]
        return token


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Workplace(kind="test") as place:
        servers = start_servers(place, 3, 18)
        init_cluster(servers[0].url(), role_password=PASSWORD)
        servers[0].create_role("demo", "LOGIN IN ROLE admin")
        make_tables(servers[0])
        directory = place.make_directory("nginx", for_server=True)
        certs = make_certificates(place, directory)
        proxy, plain, first, second, balancer = (free_ports(1) for _ in range(5))
        join = f"localhost:{proxy},localhost:{first}"
        nodes = [
            make_node(place, servers[0], plain, certs, f"localhost:{proxy}", join, is_plain=True),
            make_node(place, servers[1], first, certs, f"localhost:{first}", join),
            make_node(place, servers[2], second, certs, f"localhost:{second}", join),
        ]
        config = configured(directory, proxy=proxy, plain=plain, pair=(first, second), balancer=balancer)
        start_nginx(place, directory, config, port=proxy)
        for node in nodes:
            node.start()
        ca_cert = certs / "ca.crt"
        made = Site(
            servers,
            nodes[0],
            nodes[1:],
            directory,
            Api(f"https://localhost:{proxy}", ca_cert),
            Api(f"https://localhost:{balancer}", ca_cert),
        )
        for node in nodes:
            node.wait_until_ready()
        token = made.log_in(made.proxy)
        wait_until(lambda: set(live_nodes(made.balancer, token)) == {3}, "all nodes know all", timeout_s=20)
        yield made
        for node in nodes:
            node.stop(timeout_s=3)


def make_tables(primary: PostgresServer) -> None:
    """So many that an answer is of some megabytes."""
    with psycopg.connect(primary.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE large")
    with psycopg.connect(primary.conninfo("large")) as connection:
        make = "EXECUTE format('CREATE TABLE a_table_with_a_long_name_%s ()', n)"
        connection.execute(f"DO $$ BEGIN FOR n IN 1..2500 LOOP {make}; END LOOP; END $$")


def make_certificates(place: Workplace, directory: Path) -> Path:
    """The nodes' directory; nginx gets a certificate under the names that the page gives it."""
    home = place.make_directory("certs")
    create_ca(home / "node", home / "ca.key")
    create_cluster_key(home / "node")
    create_node(home / "node", home / "ca.key", NAMES)
    own = home / "nginx"
    copy_shared(home / "node", own)
    create_node(own, home / "ca.key", NAMES)
    for name in ("node", "rangeland"):
        for end in ("crt", "key"):
            place.write_file(directory / f"{name}.{end}", (own / f"node.{end}").read_text(), for_server=True)
    place.write_file(directory / "ca.crt", (own / "ca.crt").read_text(), for_server=True)
    return home / "node"


def make_node(
    place: Workplace,
    server: PostgresServer,
    port: int,
    certs: Path,
    advertised: str,
    join: str,
    *,
    is_plain: bool = False,
) -> NodeProcess:
    settings: dict[str, str | bool] = {
        "server_url": server.url("postgres", NODE_ROLE, PASSWORD) + "?sslmode=disable",
        "http_addr": f"localhost:{port}",
        "advertise_http_addr": advertised,
        "advertise_sql_addr": f"localhost:{server.port}",
        "certs_dir": str(certs),
        "join": join,
        "trusted_proxy": "127.0.0.1",
        "unencrypted_localhost_http": is_plain,
    }
    certs_dir = None if is_plain else certs
    return NodeProcess(place, server, name=f"behind{port}", http_port=port, certs_dir=certs_dir, settings=settings)


def configured(directory: Path, *, proxy: int, plain: int, pair: tuple[int, int], balancer: int) -> str:
    """The blocks of the page with this site's ports and files in the place of the page's."""
    blocks = "\n".join(re.findall(r"```nginx\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    for written, meant in (
        ("listen 8080 ssl", f"listen 127.0.0.1:{proxy} ssl"),
        ("http://127.0.0.1:8079", f"http://127.0.0.1:{plain}"),
        ("server pg1.example.com:8080", f"server 127.0.0.1:{pair[0]}"),
        ("server pg2.example.com:8080", f"server 127.0.0.1:{pair[1]}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{balancer} ssl"),
        ("/etc/nginx/", f"{directory}/"),
    ):
        assert written in blocks
        blocks = blocks.replace(written, meant)
    return AROUND.format(blocks=blocks)


def start_nginx(place: Workplace, directory: Path, config: str, *, port: int, name: str = "nginx") -> None:
    """As an account without rights; it ends with the workplace."""
    path = place.write_file(directory / f"{name}.conf", config, for_server=True)
    log = directory / f"{name}.log"
    argv: list[str | Path] = [str(NGINX), "-e", "stderr", "-p", directory, "-c", path, "-g", "daemon off;"]
    with log.open("wb") as output:
        place.start(argv, directory=directory, death_signal=signal.SIGTERM, as_server=True, output=output)

    def listens() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    wait_until(listens, f"nginx listens: {log.read_text()}")


def live_nodes(api: Api, token: str) -> list[int]:
    return [each["liveness_status"] for each in api.get("nodes/", token).json["nodes"]]


def test_one_logs_in_asks_and_logs_out_through_either(site: Site) -> None:
    for api in (site.proxy, site.balancer):
        token = site.log_in(api)
        assert live_nodes(api, token) == [3, 3, 3]
        cookie = {"Cookie": f"session={token}"}
        assert api.get("sessions/", "cookie", headers=cookie).json["errors"] == []
        assert api.get("sessions/", headers=cookie).status == 401
        assert api.log_out(token).json == {"logged_out": True}
        assert api.get("sessions/", token).status == 401


def test_nodes_ask_each_other_through_the_proxy(site: Site) -> None:
    """Also with a request that is passed on as a whole."""
    token = site.log_in(site.balancer)
    api = Api(site.pair[0].url, site.pair[0].certs_dir and site.pair[0].certs_dir / "ca.crt")
    ids = {each["sql_address"]["address_field"]: each["node_id"] for each in api.get("nodes/", token).json["nodes"]}
    for node in (site.plain, *site.pair):
        node_id = ids[node.sql_address]
        [first] = api.get(f"nodes/local/ranges/?limit=1&remote_node_id={node_id}", token).json["ranges"]
        assert first["source_node_id"] == node_id


@pytest.mark.parametrize("which", ["proxy", "balancer"])
def test_wrong_logins_slow_the_client_down_and_nobody_else(site: Site, which: str) -> None:
    """Whatever address the client claims to have."""
    api: Api = getattr(site, which)
    guesser = new_client()
    for number in range(7):  # the next one waits 2 s
        form = urlencode({"username": f"nobody {which} {number}", "password": "x"})
        claims = {"Content-Type": FORM, "X-Forwarded-For": f"192.0.2.{number}"}
        assert api.request("POST", "login/", headers=claims, body=form, client=guesser).status == 401
    slow = api.request("POST", "login/", body=site.form, client=guesser)
    assert slow.status == 200
    assert slow.elapsed_s > 1.5
    quick = api.request("POST", "login/", body=site.form, client=new_client())
    assert quick.status == 200
    assert quick.elapsed_s < slow.elapsed_s - 0.5
    log = site.plain.log.read_text("utf-8")
    assert f"client_address={guesser}" in log
    assert "192.0.2." not in log


def test_an_address_is_believed_from_the_proxy_s_address_only(site: Site) -> None:
    direct = Api(site.plain.url, None)
    form = urlencode({"username": "nobody at all", "password": "x"})
    stranger = new_client()
    claims = {"Content-Type": FORM, "X-Forwarded-For": "198.51.100.1"}
    assert direct.request("POST", "login/", headers=claims, body=form, client=stranger).status == 401
    claims["X-Forwarded-For"] = "198.51.100.2, 198.51.100.3"
    assert direct.request("POST", "login/", headers=claims, body=form, client="127.0.0.1").status == 401
    log = site.plain.log.read_text("utf-8")
    assert f"client_address={stranger}" in log
    assert re.findall(r"198\.51\.100\.\d", log) == ["198.51.100.3"]


@pytest.mark.parametrize("which", ["proxy", "balancer"])
def test_a_large_answer_passes_whole_and_compressed(site: Site, which: str) -> None:
    api: Api = getattr(site, which)
    token = site.log_in(api)
    plain = api.get("nodes/1/ranges/", token)
    packed = api.get("nodes/1/ranges/", token, headers={"Accept-Encoding": "gzip"})
    assert len(plain.body) > 1_000_000
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 5
    assert len(json.loads(gzip.decompress(packed.body))["ranges"]) == len(plain.json["ranges"])


def test_nothing_of_a_hop_or_of_a_peer_is_shown(site: Site) -> None:
    answer = site.proxy.get("health/?remote_node_id=2")
    assert answer.status == 200
    assert {"x-rangeland-node", "transfer-encoding"} & answer.headers.keys() == set()


def test_the_balancer_speaks_with_nobody_else_s_certificate(site: Site, tmp_path: Path) -> None:
    """What takes a node's place gets no password."""
    create_ca(tmp_path, tmp_path / "ca.key")
    ports = [free_ports(1) for _ in range(2)]
    pair = (site.pair[0].http_port, site.pair[1].http_port)
    config = configured(site.directory, proxy=ports[0], plain=1, pair=pair, balancer=ports[1])
    place = site.plain.workplace
    place.write_file(site.directory / "other.crt", (tmp_path / "ca.crt").read_text(), for_server=True)
    config = config.replace("ca.crt", "other.crt").replace("nginx.pid", "other.pid")
    start_nginx(place, site.directory, config, port=ports[1], name="other")
    api = Api(f"https://localhost:{ports[1]}", site.pair[0].certs_dir and site.pair[0].certs_dir / "ca.crt")
    assert api.get("health/").status == 502


def test_a_node_that_is_stopped_says_so_through_the_proxy_and_comes_back(site: Site) -> None:
    assert site.proxy.get("/health?ready=1").status == 200
    with closing(Api(site.plain.url, None).connect()) as open_request:
        open_request.putrequest("POST", "/api/v2/login/")
        open_request.putheader("Content-Length", "100")
        open_request.endheaders()
        site.proxy.get("health/")
        os.kill(site.plain.pid, signal.SIGTERM)
        wait_until(lambda: site.proxy.get("/health?ready=1").status == 503, "it is not ready")
        assert site.proxy.get("health/?ready=true").status == 500
        assert site.proxy.get("health/").status == 200
    try:
        wait_until(lambda: not site.plain.is_running, "it ends", timeout_s=20)
        assert site.proxy.get("health/").status == 502
    finally:
        site.plain.stop()
        site.plain.start()
    wait_until(lambda: site.proxy.get("/health?ready=1").status == 200, "it is back", timeout_s=20)


def test_the_balancer_goes_to_the_other_node(site: Site) -> None:
    wait_until(lambda: site.balancer.log_in("demo", site.servers[0].password_by_user["demo"]).status == 200, "whole")
    site.pair[0].stop()
    try:
        for _ in range(4):
            assert site.balancer.get("/health?ready=1").status == 200
            answer = site.balancer.request("POST", "login/", body=site.form)
            assert answer.status == 200
            assert answer.elapsed_s < ANSWER_S
    finally:
        site.pair[0].start()
    site.pair[0].wait_until_ready()
