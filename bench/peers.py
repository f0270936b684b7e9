"""What is measured beside a node: postgres_exporter, a server of constant bytes, a bare loop over psycopg."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psycopg

from bench.constant import PATH
from bench.scene import Ready, kept_client
from fix_cluster import free_ports, wait_until
from rangeland.engine.server import PostgresServer
from rangeland.sql import block

EXPORTER = shutil.which("prometheus-postgres-exporter")
NEEDS_EXPORTER = "postgres_exporter is not installed (Debian: apt-get install prometheus-postgres-exporter)"
EXPORTER_ROLE = "exporter"
ROOT = Path(__file__).parents[1]


@contextmanager
def running_exporter(ready: Ready) -> Iterator[str]:
    """The URL of postgres_exporter's metrics of the primary: as Debian ships it, as a member of pg_monitor."""
    assert EXPORTER is not None, NEEDS_EXPORTER
    password = ready.primary.create_role(EXPORTER_ROLE, "LOGIN IN ROLE pg_monitor")
    address = f"127.0.0.1:{free_ports(1)}"
    env = {
        "DATA_SOURCE_URI": f"127.0.0.1:{ready.primary.port}/postgres?sslmode=disable",
        "DATA_SOURCE_USER": EXPORTER_ROLE,
        "DATA_SOURCE_PASS": password,
    }
    place = ready.cluster.workplace
    argv: list[str | Path] = [EXPORTER, f"--web.listen-address={address}", "--log.level=error"]
    with ended(place.start(argv, directory=place.path, env=env)):
        url = f"http://{address}/metrics"
        wait_until(lambda: _reaches_its_server(url), "the exporter reaches the server")
        yield url


@contextmanager
def constant_server(ready: Ready, name: str, body: bytes) -> Iterator[str]:
    """The URL, over TLS, of the server that a node has, answering this body. `name` tells it from others."""
    place, port = ready.cluster.workplace, free_ports(1)
    certs_dir = ready.cluster.nodes[0].certs_dir
    assert certs_dir is not None
    file = place.path / f"{name}.json"
    file.write_bytes(body)
    argv: list[str | Path] = [sys.executable, "-m", "bench.constant", str(port), file, certs_dir]
    url = f"https://localhost:{port}{PATH}"
    with ended(place.start(argv, directory=place.path, env={"PYTHONPATH": str(ROOT)})):
        wait_until(lambda: _is_served(url, ready.cluster.ca_cert), "the server of constant bytes serves")
        yield url


@contextmanager
def bare_loop(server: PostgresServer) -> Iterator[Callable[[], bytes]]:
    """The statement of /sessions/ run by psycopg on a kept connection, and its rows encoded just as they are."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        chosen = block("sessions", "list_sessions", connection.info.server_version)
        cursor = connection.cursor(binary=True)
        encoder = msgspec.json.Encoder()

        def loop() -> bytes:
            return encoder.encode(cursor.execute(chosen.text, {"username": ""}).fetchall())

        yield loop


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The process is told to end with the block, and has ended after it."""
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def _is_served(url: str, ca_cert: Path | None = None) -> bool:
    with kept_client(url, ca_cert) as client:
        return bool(client.get(urlsplit(url).path))


def _reaches_its_server(url: str) -> bool:
    with kept_client(url) as client:
        return b"pg_up 1" in client.get(urlsplit(url).path)
