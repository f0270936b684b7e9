"""The signature under questions between nodes."""

import pytest

from rangeland.cluster.peer_token import LEEWAY_S, LIFETIME_S, PeerTokens, WrongClockError, digest
from rangeland.errors import PeerError

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
NOW = 1_800_000_000.0


def test_a_token_of_the_same_key_passes() -> None:
    PeerTokens([KEY]).verify(PeerTokens([KEY]).sign("/_peer/v1/sessions", now_s=NOW), "/_peer/v1/sessions", now_s=NOW)


def test_a_token_of_another_clusters_key_does_not() -> None:
    token = PeerTokens([OTHER_KEY]).sign("/p", now_s=NOW)
    with pytest.raises(PeerError, match="not signed with this cluster's key"):
        PeerTokens([KEY]).verify(token, "/p", now_s=NOW)


def test_a_token_for_one_question_does_not_pass_for_another() -> None:
    token = PeerTokens([KEY]).sign("/_peer/v1/sessions", now_s=NOW)
    with pytest.raises(PeerError, match="another question"):
        PeerTokens([KEY]).verify(token, "/_peer/v1/login", now_s=NOW)


@pytest.mark.parametrize("off_s", [LIFETIME_S + LEEWAY_S + 1, -LEEWAY_S - 1, 600, -600])
def test_a_token_of_another_time_tells_that_the_clocks_differ(off_s: float) -> None:
    token = PeerTokens([KEY]).sign("/p", now_s=NOW)
    with pytest.raises(WrongClockError):
        PeerTokens([KEY]).verify(token, "/p", now_s=NOW + off_s)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "insecure", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_token_does_not_pass(token: str) -> None:
    with pytest.raises(PeerError):
        PeerTokens([KEY]).verify(token, "/p", now_s=NOW)


def test_during_a_rotation_the_first_key_signs_and_both_are_accepted() -> None:
    for ours, theirs in [
        ([KEY, OTHER_KEY], [KEY]),
        ([OTHER_KEY, KEY], [KEY, OTHER_KEY]),
        ([OTHER_KEY], [OTHER_KEY, KEY]),
    ]:
        PeerTokens(theirs).verify(PeerTokens(ours).sign("/p", now_s=NOW), "/p", now_s=NOW)
    with pytest.raises(PeerError):
        PeerTokens([KEY]).verify(PeerTokens([OTHER_KEY, KEY]).sign("/p", now_s=NOW), "/p", now_s=NOW)


def test_without_a_key_everything_passes() -> None:
    PeerTokens([]).verify("anything", "/p", now_s=NOW)


def test_a_token_tells_the_body_that_it_was_signed_for() -> None:
    tokens = PeerTokens([KEY])
    assert tokens.verify(tokens.sign("/p", now_s=NOW, body=b"{}"), "/p", now_s=NOW) == digest(b"{}")
    assert tokens.verify(tokens.sign("/p", now_s=NOW), "/p", now_s=NOW) is None
