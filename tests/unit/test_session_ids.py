"""A session's id as text: what is one, in every spelling, and what is none."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rangeland.wire.session_ids import SessionId, parse_session_id

ids = st.builds(SessionId, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1))
nearly = st.one_of(
    st.text(max_size=40), st.text("AQgwz09+/-_=", min_size=20, max_size=26), st.text("0aF", min_size=30, max_size=34)
)


@given(ids)
def test_every_spelling_leads_to_the_same_id(session_id: SessionId) -> None:
    packed = session_id.packed()
    standard, url_safe = base64.b64encode(packed).decode(), base64.urlsafe_b64encode(packed).decode()
    for text in (standard, url_safe, standard.rstrip("="), url_safe.rstrip("="), packed.hex(), packed.hex().upper()):
        assert parse_session_id(text) == session_id


@given(nearly)
def test_what_is_taken_for_an_id_is_one_in_one_of_its_spellings(text: str) -> None:
    session_id = parse_session_id(text)
    if session_id is not None:
        packed = session_id.packed()
        url_safe = text.replace("+", "-").replace("/", "_").rstrip("=")
        assert text.lower() == packed.hex() or url_safe == base64.urlsafe_b64encode(packed).decode().rstrip("=")


@given(st.binary(max_size=60).filter(lambda data: len(data) not in (16, 24)))
def test_other_lengths_are_no_id(data: bytes) -> None:
    """The base64 of 24 bytes has 32 letters, which may all be hexadecimal digits."""
    for text in (data.hex(), base64.b64encode(data).decode()):
        assert parse_session_id(text) is None


@pytest.mark.parametrize(
    "text", ["", "A" * 21, "A" * 22 + "=", "A" * 21 + "B", "A" * 22 + "==\n", "\uff11" * 32, "A" * 32 + "="]
)
def test_nearly_an_id_is_none(text: str) -> None:
    assert parse_session_id(text) is None
