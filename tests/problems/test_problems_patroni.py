"""What a node makes of the Patroni that it was told of, where that says little. Real ones: cluster tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from fix_cluster import ANSWER_S
from fix_problems import Clinic, clinic

BLOCK = b"HTTP/1.1 %d x\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"


class Stranger:
    """Something that listens where Patroni should; it gives this answer to all, and none while that is None."""

    def __init__(self) -> None:
        self.answer: bytes | None = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        Thread(target=self._serve, daemon=True).start()

    def says(self, status: int, body: bytes) -> None:
        self.answer = BLOCK % (status, len(body), body)

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        kept = []
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if self.answer is None:
                kept.append(connection)
                continue
            with connection:
                connection.recv(65536)
                connection.sendall(self.answer)


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    made = Stranger()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sick(stranger: Stranger) -> Iterator[Clinic]:
    with clinic(1, settings={"patroni_url": f"{stranger.url}/"}) as made:
        yield made


def test_a_patroni_that_never_answers_is_told_in_time(sick: Clinic, stranger: Stranger) -> None:
    stranger.answer = None
    reply = sick.apis[0].get("problems/", sick.token)
    assert reply.elapsed_s < ANSWER_S / 2
    [problem] = reply.json["problems"]
    assert (problem["kind"], problem["node_id"], problem["object"]) == ("patroni_silent", 1, stranger.url)
    assert problem["evidence"] == {"cause": "no answer in time"}


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (200, b"<html>", "what answers there is no Patroni"),
        (200, b'{"members": [{"role": 1}]}', "what answers there is no Patroni"),
        (404, b"{}", "it answers with status 404"),
    ],
)
def test_what_is_no_patroni_is_told(sick: Clinic, stranger: Stranger, status: int, body: bytes, cause: str) -> None:
    stranger.says(status, body)
    assert sick.only("patroni_silent")["evidence"] == {"cause": cause}


@pytest.mark.parametrize(
    ("members", "kinds"),
    [
        (b'{"name": "a", "role": "leader", "state": "running"}', []),
        (b'{"name": "b", "role": "replica", "state": "streaming"}', []),
        (b'{"name": "b", "role": "replica", "state": "streaming", "tags": {"nosync": true, "clonefrom": true}}', []),
        (b'{"name": "b", "role": "replica", "state": "stopped", "tags": {"nofailover": true}}', []),
        (
            b'{"name": "b", "role": "replica", "state": "streaming", "tags": {"failover_priority": 0}}',
            ["patroni_no_candidate"],
        ),
        (
            b'{"name": "b", "role": "replica", "state": "running", "tags": {"nofailover": true, "x": {"y": []}}},'
            b'{"name": "c", "role": "sync_standby", "state": "streaming", "tags": {"failover_priority": 2}}',
            [],
        ),
    ],
)
def test_only_where_no_follower_may_be_promoted_that_is_told(
    sick: Clinic, stranger: Stranger, members: bytes, kinds: list[str]
) -> None:
    """As Patroni writes it. A follower that is down is the server's problem."""
    stranger.says(200, b'{"members": [' + members + b'], "scope": "x"}')
    assert [each["kind"] for each in sick.problems()] == kinds
