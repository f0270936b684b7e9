"""Other nodes, as far as one node sees them: many endpoints in one process, each with its own port, over HTTPS.

`python -m bench.endpoints CERTS_DIR FIRST_PORT FIRST_NODE_ID COUNT SESSIONS`: a status of node `status.json` in the
directory that it is started in, and so many sessions each; parameters and answers are the nodes' own types, and a
question has to be signed. The data is made up, the way to it isn't.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import struct
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import uvloop
from msgspec import Raw, structs

from rangeland.cluster.cluster import NODE_HEADER, PREFIX, ROLE_HEADER, SERVER_HEADER, TIME_HEADER
from rangeland.cluster.peer_token import PeerTokens, digest
from rangeland.errors import PeerError
from rangeland.tls import read_cluster_keys, read_node_material
from rangeland.wire.json import decode, encode
from rangeland.wire.members import HelloAnswer
from rangeland.wire.nodes import NodeStatus
from rangeland.wire.parts import Item, ListPart, SessionsParams, StatusPart
from rangeland.wire.sessions import Session, SessionStatus
from rangeland.wire.times import rfc3339

BACKLOG = 128
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOKEN = re.compile(rb"authorization: *Bearer ([^\r\n]+)", re.IGNORECASE)


class Endpoint:
    """What one node would answer."""

    def __init__(self, node_id: int, port: int, status: NodeStatus, sessions: int, tokens: PeerTokens) -> None:
        address = structs.replace(status.address, address_field=f"127.0.0.1:{port}")
        own = structs.replace(status, node_id=node_id, address=address)
        self._node_id = node_id
        self._tokens = tokens
        self._items = [_item(node_id, number) for number in range(sessions)]
        self._answers: dict[str, Callable[[bytes], bytes]] = {
            "status": lambda _: encode(StatusPart(status=own, server_up=True, role="standby", timeline=1)),
            "hello": lambda _: encode(HelloAnswer(node_id=node_id, cluster_id="", members=[], revoked={})),
            "sessions": self._sessions,
        }

    def answer(self, head: bytes, body: bytes) -> bytes:
        """The whole answer to a request."""
        path = head.split(b" ", 2)[1].decode()
        try:
            signed = self._tokens.verify(_found(_TOKEN, head).decode(), path, now_s=time.time())
        except PeerError as exc:
            return self._written(403, str(exc).encode())
        answer = self._answers.get(path.removeprefix(PREFIX))
        if answer is None or signed not in (None, digest(body)):
            return self._written(404 if answer is None else 403, b"no")
        return self._written(200, answer(body))

    def _sessions(self, body: bytes) -> bytes:
        params = decode(SessionsParams, body)
        end = params.index + params.limit if params.limit else len(self._items)
        return encode(
            ListPart(items=self._items[params.index : end], next_index=end if end < len(self._items) else 0)
        )

    def _written(self, status: int, body: bytes) -> bytes:
        head = (
            f"HTTP/1.1 {status} said\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"{NODE_HEADER}: {self._node_id}\r\n{ROLE_HEADER}: standby;1\r\n{TIME_HEADER}: {time.time_ns()}\r\n"
            f"{SERVER_HEADER}: {self._node_id:036d}\r\n\r\n"
        )
        return head.encode() + body


class Connection(asyncio.Protocol):
    """HTTP/1.1 as far as nodes speak it to each other: a request with a length, then an answer, again and again."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = int(_found(_LENGTH, head) or 0)
        if end and len(rest) >= length:
            self._received = rest[length:]
            self._transport.write(self._endpoint.answer(head, rest[:length]))


def _found(pattern: re.Pattern[bytes], head: bytes) -> bytes:
    found = pattern.search(head)
    return found[1] if found else b""


def _item(node_id: int, number: int) -> Item:
    """A session that waits for its client, as most do; a kilobyte of JSON with its last statement three times."""
    begun = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=node_id * 7 % 3600 + number)
    statement = f"SELECT name, price FROM orders JOIN items USING (order_id) WHERE customer_id = {number}"
    session = Session(
        node_id=node_id,
        username="app",
        client_address="10.0.0.1:50000",
        application_name=f"worker {number}",
        active_queries=[],
        start=rfc3339(begun),
        last_active_query=statement,
        id=struct.pack(">IIq", node_id, number, 0),
        last_active_query_no_constants=statement.replace(str(number), "_"),
        last_active_query_anon=statement.replace(str(number), "_"),
        status=SessionStatus.IDLE,
        txn_fingerprint_ids=[],
        total_active_time=0,
        pg_backend_pid=1000 + number,
        database="shop",
        state="idle",
        wait_event_type="Client",
        wait_event="ClientRead",
        backend_type="client backend",
    )
    return Item(key=begun.timestamp(), body=Raw(encode(session)))


async def serve(certs_dir: Path, first_port: int, first_node_id: int, count: int, sessions: int) -> None:
    """Until the process ends."""
    material = read_node_material(certs_dir)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(material.cert_path, material.key_path)
    tokens = PeerTokens(read_cluster_keys(certs_dir))
    status = decode(NodeStatus, Path("status.json").read_bytes())
    for number in range(count):
        endpoint = Endpoint(first_node_id + number, first_port + number, status, sessions, tokens)
        await asyncio.get_running_loop().create_server(
            partial(Connection, endpoint), "127.0.0.1", first_port + number, ssl=context, backlog=BACKLOG
        )
    await asyncio.Event().wait()


if __name__ == "__main__":
    certs, *numbers = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(certs), *map(int, numbers)))
