"""Whatever is sent to log in or out, in any form, framing and pace, is refused as the contract says."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hypothesis import strategies as st

from fix_cluster import ANSWER_S, Api, add_user, log_in, new_client
from fix_fuzz import Fuzz, Watch, Wire, is_own_refusal, require_sound
from rangeland.engine.cluster import Cluster
from strategies import Asked, forms, mangled, queries, request_bytes, requests_of, session_headers

STATUSES = (400, 401, 404, 408, 413, 500, 503)  # 408: what was sent looks like the begin of more
LOGIN = b"/api/v2/login/"


@dataclass(frozen=True)
class Chunked:
    """A body in chunks, as drawn: its framing may be wrong."""

    head: bytes
    body: bytes

    def encoded(self) -> bytes:
        return request_bytes(b"POST", LOGIN, [b"Transfer-Encoding: chunked", self.head]) + self.body


def bodies_in_chunks() -> st.SearchStrategy[Chunked]:
    def framed(parts: list[bytes], extension: bytes, trailer: bytes) -> bytes:
        sizes = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts if part)
        return sizes + b"0\r\n" + trailer + b"\r\n"

    parts = st.lists(st.one_of(forms(), st.binary(max_size=30)), max_size=5)
    extension, trailer = st.sampled_from([b"", b"", b";a=b", b";" * 100]), st.sampled_from([b"", b"", b"X: y\r\n"])
    right = st.builds(framed, parts, extension, trailer)
    heads = st.sampled_from([b"Accept: */*", b"Content-Length: 5", b"Expect: 100-continue", b"Trailer: X"])
    return st.builds(Chunked, heads, st.one_of(right, right, right.flatmap(mangled)))


def require_refusal(fuzz: Fuzz, wire: Wire, watch: Watch, request: bytes, method: bytes = b"POST") -> None:
    """Not let in; a 500 only for a form that is not well encoded, as the contract has it."""
    reply = wire.ask(request, method=method, client=new_client())
    watch.require_no_bug()
    if is_own_refusal(reply):
        return
    assert reply is not None
    require_sound(reply, STATUSES, method=method)
    assert reply.status != 500 or method == b"HEAD" or "the form is not well encoded" in reply.text, reply.text
    assert reply.status != 503 or "retry-after" in reply.headers


def test_no_form_that_is_wrong_is_let_in_or_breaks_anything(fuzz: Fuzz, cluster: Cluster, wire: Wire) -> None:
    watch = Watch(cluster, fuzz, "forms")
    content_types = st.sampled_from(
        [b"", b"application/x-www-form-urlencoded", b"application/json", b"\xff", b"text/"]
    )
    asked = requests_of(
        st.just(LOGIN),
        content_types.map(lambda value: [b"Content-Type: " + value] if value else []),
        methods=[b"POST"] * 9 + [b"GET", b"PUT", b"HEAD"],
        bodies=forms(),
        query=lambda: st.one_of(st.just(b""), st.just(b""), forms().map(lambda form: form[:2000]), queries()).map(
            lambda query: query.translate(None, b"\r\n\0 \t#")
        ),
    )

    def holds(asked: Asked) -> None:
        require_refusal(fuzz, wire, watch, asked.encoded(), asked.method)

    fuzz.check(asked, holds, examples=120, after=watch.require_steady)


def test_a_body_in_chunks_is_read_or_refused_but_never_a_bug(fuzz: Fuzz, cluster: Cluster, wire: Wire) -> None:
    watch = Watch(cluster, fuzz, "chunks")

    def holds(sent: Chunked) -> None:
        require_refusal(fuzz, wire, watch, sent.encoded() + request_bytes(b"GET", b"/", [b"Connection: close"]))

    fuzz.check(bodies_in_chunks(), holds, examples=60, after=watch.require_steady)


def test_a_form_in_chunks_logs_in(cluster: Cluster, wire: Wire) -> None:
    """The right one."""
    form = f"username={cluster.username}&password={cluster.password}".encode()
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in form)
    reply = wire.ask(request_bytes(b"POST", LOGIN, [b"Transfer-Encoding: chunked"]) + pieces + b"0\r\n\r\n")
    assert reply is not None
    assert reply.json.keys() == {"session"}


def test_a_body_that_breaks_off_is_no_bug(cluster: Cluster, observed: Fuzz, wire: Wire) -> None:
    """The client is gone before its form is whole: nobody is to blame on this side."""
    watch = Watch(cluster, observed, "broken off")
    for _ in range(5):
        with wire.connect() as connection:
            connection.sendall(request_bytes(b"POST", LOGIN, [b"Content-Length: 100"]) + b"username=a")
    watch.require_steady()
    reply = wire.ask(request_bytes(b"POST", LOGIN, [b"Transfer-Encoding: chunked"]) + b"zz\r\nusername=a", keep=False)
    assert reply is not None
    assert (reply.status, reply.text) == (400, "the body is not whole\n")
    watch.require_no_bug()


def test_a_body_that_never_ends_is_408_within_a_requests_time(cluster: Cluster, observed: Fuzz, wire: Wire) -> None:
    """Also one that drips, several at once, while others are served."""
    watch = Watch(cluster, observed, "never ending")
    begun = time.monotonic()
    slow = [wire.connect(client=new_client()) for _ in range(8)]
    for connection in slow:
        connection.sendall(request_bytes(b"POST", LOGIN, [b"Content-Length: 1000"]) + b"username=a")
    while time.monotonic() - begun < ANSWER_S - 1.5:
        slow[0].sendall(b"a")
        health = wire.ask(request_bytes(b"GET", b"/api/v2/health/", []))
        assert health is not None
        assert health.elapsed_s < 1.0
        time.sleep(0.2)
    for connection in slow:
        assert connection.recv(12) == b"HTTP/1.1 408"
        connection.close()
    assert time.monotonic() - begun < ANSWER_S
    watch.require_steady()


def test_no_token_that_is_wrong_ends_a_session(fuzz: Fuzz, cluster: Cluster, apis: list[Api], wire: Wire) -> None:
    add_user(cluster, "victim", "LOGIN IN ROLE pg_monitor")
    victim = log_in(cluster, apis[0], "victim")
    watch = Watch(cluster, fuzz, "logout")
    asked = requests_of(
        st.sampled_from([b"/api/v2/logout", b"/api/v2/logout/"]),
        session_headers(victim).filter(lambda headers: victim.encode() not in b"".join(headers)),
        methods=[b"POST"] * 6 + [b"GET", b"DELETE", b"HEAD"],
        bodies=st.one_of(st.none(), forms()),
    )

    def holds(asked: Asked) -> None:
        reply = wire.ask(asked.encoded(), method=asked.method, keep=asked.body is None)
        watch.require_no_bug()
        if not is_own_refusal(reply):
            assert reply is not None
            require_sound(reply, (400, 401, 404), method=asked.method)

    fuzz.check(asked, holds, examples=80, after=watch.require_steady)
    assert apis[1].get("nodes/", victim).status == 200
