"""The nodes' side of the port: without the cluster key nobody gets in, and with it no body breaks a node."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from hypothesis import strategies as st

from fix_cluster import Api, apis_of, running_cluster
from fix_fuzz import Fuzz, Watch, is_own_refusal, require_sound, wire_to
from rangeland.cluster.cluster import PREFIX
from rangeland.cluster.peer_token import PeerTokens
from rangeland.cluster.questions import QUESTIONS
from rangeland.engine.cluster import Cluster
from rangeland.tls import read_cluster_keys
from rangeland.wire.json import DecodeError, decode
from strategies import Asked, mangled, other_headers, struct_bytes

# What a key's holder may rightly do would change this cluster for good: who its nodes are, and what they are to be.
LASTING = {"hello", "register", "keep_status", "learn_members", "write_membership", "change_membership", "drain"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of our own: sessions are made and revoked in it."""
    with running_cluster(2, load_tps=1) as made:
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture(scope="module")
def tokens(cluster: Cluster) -> PeerTokens:
    certs_dir = cluster.nodes[0].certs_dir
    assert certs_dir is not None
    return PeerTokens(read_cluster_keys(certs_dir))


def asked_as(tokens: PeerTokens, question: str, body: bytes, *headers: bytes) -> bytes:
    path = PREFIX + question
    signed = f"Authorization: Bearer {tokens.sign(path, now_s=time.time())}".encode()
    return Asked(b"POST", path.encode(), b"", [signed, *headers], body=body).encoded()


def is_lasting(question: str, body: bytes) -> bool:
    """Whether it would be believed, and change the cluster."""
    if question not in LASTING:
        return False
    with suppress(DecodeError):
        decode(QUESTIONS[question].takes, body)
        return True
    return False


def meant_by(token: bytes) -> tuple[bytes, bytes]:
    """What is signed, and the signature: its last letter has bits that count for nothing, and blanks around too."""
    signed, _, last = token.strip().rpartition(b".")
    try:
        return signed, base64.urlsafe_b64decode(last + b"=" * (-len(last) % 4))
    except ValueError:
        return signed, last


@pytest.mark.parametrize("number", [0, 1], ids=["primary", "standby"])
def test_no_signed_body_breaks_a_node(
    fuzz: Fuzz, cluster: Cluster, apis: list[Api], tokens: PeerTokens, number: int
) -> None:
    """Wrong JSON, wrong types and huge numbers are 400; 421 is a standby's answer, 404 an unknown question's."""
    watch = Watch(cluster, fuzz, f"questions to node {number + 1}")
    drawn = st.sampled_from(sorted(QUESTIONS)).flatmap(
        lambda path: st.tuples(st.just(path), struct_bytes(QUESTIONS[path].takes), other_headers())
    )

    def holds(asked: tuple[str, bytes, list[bytes]]) -> None:
        question, body, headers = asked
        mine = [each for each in headers if not each.startswith(b"Authorization")]
        reply = wire.ask(asked_as(tokens, question, body, *mine), keep=len(body) < 60_000)
        watch.require_no_bug()
        if not is_own_refusal(reply):
            assert reply is not None
            require_sound(reply, (200, 400, 413, 421))

    with closing(wire_to(cluster, apis[number], fuzz)) as wire:
        believed = drawn.filter(lambda asked: not is_lasting(*asked[:2]))
        fuzz.check(believed, holds, examples=150, after=watch.require_steady)
    assert [api.request("GET", "health/?ready=1").status for api in apis] == [200, 200]


def test_nothing_but_a_signature_for_this_question_opens_it(
    fuzz: Fuzz, cluster: Cluster, apis: list[Api], tokens: PeerTokens
) -> None:
    """Not one that was changed, not one for another question; 401 is for a clock that is off."""
    watch = Watch(cluster, fuzz, "signatures")
    path = PREFIX + "hello"
    now_s = time.time()
    near = [tokens.sign(path, now_s=now_s), tokens.sign(PREFIX + "grant", now_s=now_s)]
    wrong = st.one_of(
        st.sampled_from(near).flatmap(lambda token: mangled(token.encode())),
        st.sampled_from([near[1].encode(), b"", b".", b"..", b"a.b.c", b"eyJhbGciOiJub25lIn0.e30.", b"x" * 9000]),
        st.sampled_from([-1e300, -3600.0, 3600.0, 1e18]).map(lambda off: tokens.sign(path, now_s=off).encode()),
        st.binary(max_size=60),
    ).map(lambda data: data.translate(None, b"\r\n\0"))
    wrong = wrong.filter(lambda data: meant_by(data) != meant_by(near[0].encode()))
    scheme = st.sampled_from([b"Bearer ", b"Bearer ", b"bearer ", b"Basic ", b"Bearer", b"", b"Bearer  "])

    def holds(pair: tuple[bytes, bytes]) -> None:
        asked = Asked(b"POST", path.encode(), b"", [b"Authorization: " + b"".join(pair)], body=b"{}")
        reply = wire.ask(asked.encoded())
        watch.require_no_bug()
        if not is_own_refusal(reply):
            assert reply is not None
            require_sound(reply, (401, 403))

    with closing(wire_to(cluster, apis[0], fuzz)) as wire:
        fuzz.check(st.tuples(scheme, wrong), holds, examples=100, after=watch.require_steady)


@pytest.mark.parametrize("told", [b"9" * 400, b"9" * 5000, b"-1", b"0", b"1e9", b"\xb2", b""])
def test_any_time_that_an_asker_says_is_left_is_taken_as_a_request_of_our_own_at_most(
    observed: Fuzz, cluster: Cluster, apis: list[Api], tokens: PeerTokens, told: bytes
) -> None:
    watch = Watch(cluster, observed, "time")
    with closing(wire_to(cluster, apis[0], observed)) as wire:
        reply = wire.ask(asked_as(tokens, "hello", b"{}", b"X-Rangeland-Timeout-Ms: " + told))
    watch.require_no_bug()
    assert reply is not None
    assert reply.json["node_id"] == 1


@pytest.mark.parametrize(
    ("question", "body", "said"),
    [
        ("hello", b'{"node_id":1180591620717411303424,"http_addr":"x:1"}', "Expected `int`"),
        ("revoke", b'{"expires_by_id":{"18446744073709551616":1}}', "Expected `int`"),
        ("write_revocation", b'{"expires_by_id":{"1":18446744073709551615}}', "Expected `int`"),
        ("number_databases", b'{"oids":[4294967296]}', "Expected `int`"),
        ("make_session", b'{"username":"demo","lifetime_s":1e300}', "Expected `float`"),
        ("list_web_sessions", b'{"username":"\\u0000"}', "NUL"),
        ("users", b'{"limit":1,"offset":-1}', "must not be negative"),
        ("sessions", b'{"username":"\x80"}', "not UTF-8"),
        ("sessions", b'{"x":' + b"[" * 60_000, "too deep"),
    ],
)
def test_a_value_that_nothing_can_hold_is_the_askers_fault(
    observed: Fuzz, cluster: Cluster, apis: list[Api], tokens: PeerTokens, question: str, body: bytes, said: str
) -> None:
    """No bug, and no sign that the server is down: the next question is answered."""
    watch = Watch(cluster, observed, "values")
    with closing(wire_to(cluster, apis[0], observed)) as wire:
        reply = wire.ask(asked_as(tokens, question, body))
        assert reply is not None
        assert (reply.status, said in reply.text) == (400, True), reply.text
        after = wire.ask(asked_as(tokens, "list_web_sessions", b"{}"))
    watch.require_no_bug()
    assert after is not None
    assert after.status == 200


def test_a_session_that_is_over_before_it_begins_is_not_kept(
    observed: Fuzz, cluster: Cluster, apis: list[Api], tokens: PeerTokens
) -> None:
    over = b'{"id":77,"hashed_secret":"","username":"early","expires_at_s":1.0}'
    with closing(wire_to(cluster, apis[0], observed)) as wire:
        assert wire.ask(asked_as(tokens, "keep_session", over)) is not None
        listed = wire.ask(asked_as(tokens, "list_web_sessions", b'{"username":"early"}'))
    assert listed is not None
    assert listed.json == {"sessions": []}


def test_a_right_question_is_answered(observed: Fuzz, cluster: Cluster, apis: list[Api], tokens: PeerTokens) -> None:
    """The other side of all refusals here."""
    with closing(wire_to(cluster, apis[0], observed)) as wire:
        reply = wire.ask(asked_as(tokens, "sessions", b"{}"))
    assert reply is not None
    assert reply.json["items"]
