"""Whatever comes over the socket, as HTTP/1.1, HTTP/2, TLS or none of these, holds up nobody and leaves nothing."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from hypothesis import strategies as st

from fix_cluster import ANSWER_S, Api, Reply
from fix_fuzz import Fuzz, Watch, Wire, is_own_refusal, require_sound
from rangeland.engine.cluster import Cluster
from strategies import mangled, queries, quoted, words

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WAIT_S = 0.3  # for an answer that may rightly never come: a frame can be the begin of a longer one
RIGHT = b"GET /api/v2/health/ HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
ALL_STATUSES = (200, 301, 400, 401, 403, 404, 405, 413)


@pytest.fixture
def wire2(wire: Wire, cluster: Cluster, observed: Fuzz) -> Wire:
    """As `wire`, but its connections speak HTTP/2."""
    tls = ssl.create_default_context(cafile=str(cluster.ca_cert))
    tls.set_alpn_protocols(["h2"])
    return Wire(wire.api, tls, observed)


def asked_in_h1() -> st.SearchStrategy[bytes]:
    """Requests of HTTP/1.1 that are broken somewhere, whole or in pieces, and what is none at all."""
    header = st.sampled_from(
        [
            *(
                b"Content-Length: 5",
                b"Content-Length: -1",
                b"Content-Length: 5\r\nContent-Length: 6",
                b"Content-Length:",
            ),
            *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: x"),
            *(
                b"Host: a\r\nHost: b",
                b" folded: x",
                b"X\0: y",
                b"X: \0",
                b": empty",
                b"no colon",
                b"X : y",
                b"\xff: y",
            ),
            *(b"Connection: close, upgrade", b"Upgrade: websocket", b"Upgrade: h2c\r\nHTTP2-Settings: AA"),
            *(b"Expect: 100-continue", b"Expect: x", b"X: " + b"y" * 70_000, b"\r\n".join([b"X: y"] * 150)),
        ]
    )
    first = st.one_of(
        st.sampled_from(
            [b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/0.9", b"GET /", b"GET  / HTTP/1.1", b" / "]
        ),
        st.sampled_from(
            [b"GET / HTTP/3.7", b"\r\n\r\nGET / HTTP/1.1", b"GET http://[ HTTP/1.1", b"OPTIONS * HTTP/1.1"]
        ),
        st.tuples(quoted(words()), queries()).map(lambda pair: b"GET /%b?%b HTTP/1.1" % pair),
        st.binary(max_size=40),
    )
    made = st.tuples(first, st.lists(header, max_size=4), st.binary(max_size=20)).map(
        lambda parts: b"\r\n".join([parts[0], b"Host: localhost", *parts[1], b"", parts[2]])
    )
    return st.one_of(made, made, st.just(RIGHT).flatmap(mangled), st.just(RIGHT * 20), st.binary(max_size=300))


def test_nothing_that_is_sent_instead_of_http_breaks_or_holds_up_a_node(
    fuzz: Fuzz, cluster: Cluster, wire: Wire
) -> None:
    """It is answered or not, and then the client is gone."""
    watch = Watch(cluster, fuzz, "HTTP/1.1")

    def holds(sent: bytes) -> None:
        reply = _answer_if_any(wire, sent)
        watch.require_no_bug()
        if not is_own_refusal(reply):
            assert reply is not None
            require_sound(reply, ALL_STATUSES)
        health = wire.ask(RIGHT)
        assert health is not None
        assert (health.status, health.elapsed_s < 1.0) == (200, True)

    fuzz.check(asked_in_h1(), holds, examples=80, after=watch.require_steady)


def _answer_if_any(wire: Wire, sent: bytes) -> Reply | None:
    """The first answer to what is sent in two pieces on a connection of its own; our end of it is closed then."""
    with wire.connect() as connection:
        connection.settimeout(WAIT_S)
        begun = time.monotonic()
        try:
            connection.sendall(sent[:7])
            connection.sendall(sent[7:])
            head = connection.recv(1 << 16)
            while head and b"\r\n\r\n" not in head and len(head) < 1 << 20:
                head += connection.recv(1 << 16)
        except OSError:
            return None
    lines, _, body = head.partition(b"\r\n\r\n")
    status, *headers = lines.decode("latin-1").split("\r\n")
    if not status.startswith("HTTP/1."):
        return None  # frames of HTTP/2, or nothing
    pairs = (line.partition(":") for line in headers)
    by_name = {name.lower(): value.strip() for name, _, value in pairs}
    wire.fuzz.tally[int(status.split()[1])] += 1
    if status.split()[1] == "100":
        return None
    return Reply(
        int(status.split()[1]), by_name, body[: int(by_name.get("content-length", "0"))], time.monotonic() - begun
    )


# HTTP/2


def frames() -> st.SearchStrategy[bytes]:
    """Frames of every kind, most with a length that fits: RFC 9113, 4.1."""
    kinds = st.one_of(st.integers(0, 9), st.integers(0, 255))
    streams = st.one_of(st.sampled_from([0, 1, 2, 3, 2**31 - 1, 2**32 - 1]), st.integers(0, 2**32 - 1))
    payload = st.one_of(
        st.sampled_from([4, 5, 6, 8, 9, 17]).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
        st.binary(max_size=80),
    )

    def framed(kind: int, flags: int, stream: int, data: bytes, off: int) -> bytes:
        length = max(0, len(data) + off)
        return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + data

    return st.builds(
        framed, kinds, st.integers(0, 255), streams, payload, st.sampled_from([0, 0, 0, 0, 0, 1, -1, 70_000])
    )


def test_no_frames_of_http2_break_or_hold_up_a_node(fuzz: Fuzz, cluster: Cluster, wire: Wire, wire2: Wire) -> None:
    watch = Watch(cluster, fuzz, "HTTP/2 frames")
    settings = b"\0\0\0\4\0\0\0\0\0"
    sent = st.tuples(
        st.sampled_from([PREFACE + settings, PREFACE + settings, PREFACE, b""]), st.lists(frames(), max_size=12)
    ).map(lambda pair: pair[0] + b"".join(pair[1]))

    def holds(data: bytes) -> None:
        with wire2.connect() as connection, suppress(OSError):
            connection.settimeout(0.05)
            connection.sendall(data)
            while connection.recv(1 << 16):
                fuzz.tally[2] += 1
        watch.require_no_bug()
        health = wire.ask(RIGHT)
        assert health is not None
        assert (health.status, health.elapsed_s < 1.0) == (200, True)

    fuzz.check(sent, holds, examples=60, after=watch.require_steady)


class H2:
    """One connection of HTTP/2 that sends what a client must not send, too."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self.socket = connection
        loose = H2Configuration(
            client_side=True,
            header_encoding=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self.state = H2Connection(loose)
        self.state.initiate_connection()

    def ask(self, headers: list[tuple[bytes, bytes]], body: bytes) -> Reply | None:
        """The answer; None where the node refuses the stream or the connection."""
        begun = time.monotonic()
        stream = self.state.get_next_available_stream_id()
        self.state.send_headers(stream, headers, end_stream=not body)
        if body:
            self.state.send_data(stream, body[:16_000], end_stream=True)
        self.socket.sendall(self.state.data_to_send())
        answer: dict[bytes, bytes] = {}
        content = bytearray()
        for event in self._events(begun):
            match event:
                case ResponseReceived(headers=pairs):
                    answer = dict(pairs or [])
                case DataReceived(data=data, flow_controlled_length=length):
                    content += data or b""
                    self.state.acknowledge_received_data(length or 0, stream)
                case StreamReset() | ConnectionTerminated():
                    return None
                case StreamEnded():
                    break
        if b":status" not in answer:
            return None
        told = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.items()}
        return Reply(int(answer[b":status"]), told, bytes(content), time.monotonic() - begun)

    def _events(self, begun: float) -> Iterator[Event]:
        while time.monotonic() - begun < ANSWER_S:
            data = self.socket.recv(1 << 16)
            if not data:
                return
            yield from self.state.receive_data(data)
            self.socket.sendall(self.state.data_to_send())
        raise AssertionError(f"no answer within {ANSWER_S} s")


def requests_of_h2() -> st.SearchStrategy[tuple[list[tuple[bytes, bytes]], bytes]]:
    path = st.one_of(
        st.sampled_from([b"/api/v2/health/", b"/api/v2/nodes/", b"/api/v2/login/", b"", b"*", b"x", b"/\xff", b"//"]),
        st.tuples(quoted(words()), queries()).map(lambda pair: b"/api/v2/%b/?%b" % pair),
    )
    pseudo = st.tuples(
        st.sampled_from([b"GET", b"GET", b"GET", b"HEAD", b"POST", b"CONNECT", b"", b"G T"]),
        path,
        st.sampled_from([b"https", b"https", b"http", b"", b"file"]),
        st.sampled_from([b"localhost", b"localhost", b"", b"[", b"a@b", b"\xff", b"x" * 3000]),
    ).map(lambda found: list(zip([b":method", b":path", b":scheme", b":authority"], found, strict=True)))
    name = st.sampled_from(
        [
            *(b"x-cockroach-api-session", b"cookie", b"accept-encoding", b"content-length", b"connection", b"host"),
            *(b"transfer-encoding", b"te", b"Upper", b"", b":status", b"x y", b"x\r\ny", b"content-type", b"expect"),
        ]
    )
    value = st.one_of(
        st.binary(max_size=20), st.sampled_from([b"5", b"chunked", b"cookie", b"\r\nx: y", b"y" * 9000])
    )
    headers = st.lists(st.tuples(name, value), max_size=4)
    shown = st.tuples(pseudo, headers, st.sampled_from([0, 0, 0, 1, 2])).map(
        lambda found: [*found[0][: len(found[0]) - found[2]], *found[1]]
    )
    return st.tuples(shown, st.one_of(st.just(b""), st.binary(max_size=100)))


def test_every_request_in_http2_is_answered_or_refused(fuzz: Fuzz, cluster: Cluster, wire2: Wire) -> None:
    """Also with headers that HTTP/2 forbids, out of order, or missing."""
    watch = Watch(cluster, fuzz, "HTTP/2")

    def holds(asked: tuple[list[tuple[bytes, bytes]], bytes]) -> None:
        headers, body = asked
        reply = None
        with wire2.connect() as connection, suppress(ConnectionError, ssl.SSLError, ProtocolError):
            reply = H2(connection).ask(headers, body)
        fuzz.tally[reply.status if reply else 0] += 1
        watch.require_no_bug()
        if not is_own_refusal(reply):
            assert reply is not None
            method = dict(headers).get(b":method", b"")
            require_sound(reply, ALL_STATUSES, method=method)

    fuzz.check(requests_of_h2(), holds, examples=80, after=watch.require_steady)


def test_a_right_request_in_http2_is_answered(wire2: Wire) -> None:
    """The other side of all refusals here."""
    right = [
        (b":method", b"GET"),
        (b":path", b"/api/v2/health/"),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
    ]
    with wire2.connect() as connection:
        reply = H2(connection).ask(right, b"")
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"{}")


def test_half_open_connections_hold_up_nobody_and_are_gone_with_their_clients(
    observed: Fuzz, cluster: Cluster, apis: list[Api], wire: Wire
) -> None:
    """Without TLS, in the middle of its handshake, of a request's head, of a frame: 40 of each at once."""
    watch = Watch(cluster, observed, "half open")
    watch.require_steady()
    address = urlsplit(apis[1].url)
    begun = _client_hello()
    with ExitStack() as held:
        for number in range(160):
            plain = held.enter_context(socket.create_connection(("127.0.0.1", address.port or 0), timeout=ANSWER_S))
            match number % 4:
                case 1:
                    plain.sendall(begun[: number + 10])
                case 2:
                    plain.sendall(begun)
                case 3:
                    secure = held.enter_context(wire.tls.wrap_socket(plain, server_hostname="localhost"))
                    secure.sendall(RIGHT[: number % 40 + 5])
        health = wire.ask(RIGHT)
        assert health is not None
        assert (health.status, health.elapsed_s < 1.0) == (200, True)
    watch.require_steady()


def _client_hello() -> bytes:
    """The first message of a TLS handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()
