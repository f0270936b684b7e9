"""Parsers take whatever comes: they give a value or their own error, and what was written is read back the same."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rangeland.api.hot_ranges import parse_hot_node_id
from rangeland.api.login import _form
from rangeland.api.ranges import parse_node_id, parse_range_ids
from rangeland.api.replies import HttpError
from rangeland.auth.password import is_plausible
from rangeland.auth.session_token import SECRET_BYTES, MalformedTokenError, decode_token, encode_token
from rangeland.cluster.peer_token import LEEWAY_S, LIFETIME_S, PeerTokens
from rangeland.cluster.questions import QUESTIONS, Question
from rangeland.collect.masking import MASK, mask_passwords
from rangeland.collect.text import text_from_bytes
from rangeland.config import host_port, joined, parse_duration, parse_locality
from rangeland.errors import PeerError, SettingError
from rangeland.merge.paging import (
    PageToken,
    Paginator,
    format_token,
    page_of_window,
    page_offset,
    parse_limit,
    parse_offset,
    parse_token,
    window,
)
from rangeland.pg.connection import parse_server_url
from rangeland.wire.headers import takes_gzip
from rangeland.wire.json import DecodeError, decode, encode
from strategies import forms, id_lists, mangled, numbers, start_tokens, struct_bytes

steady = settings(
    max_examples=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
)
any_text = st.text(st.characters())  # lone surrogates too, as they come from a command line
node_ids = st.integers(1, 2**32 - 1)


# pages


@steady
@given(st.one_of(numbers(), st.text()))
def test_a_limit_and_an_offset_are_always_an_int64(text: str) -> None:
    assert 0 <= parse_limit(text) < 2**63
    assert 0 <= parse_offset(text) < 2**63


@steady
@given(
    st.builds(
        PageToken, st.lists(node_ids).map(tuple), node_ids, st.integers(0, 2**63 - 1), st.lists(node_ids).map(tuple)
    )
)
def test_a_start_token_that_was_written_is_read_back(token: PageToken) -> None:
    assert parse_token(format_token(token)) == token


@steady
@given(start_tokens())
def test_any_start_token_is_one_of_ours_or_none(text: str) -> None:
    token = parse_token(text)
    if token is not None:
        assert parse_token(format_token(token)) == token


@steady
@given(start_tokens(), st.lists(st.integers(1, 9), unique=True, max_size=6), st.integers(0, 5), st.data())
def test_a_walk_ends_whatever_the_token_and_the_nodes_say(
    text: str, ids: list[int], limit: int, data: st.DataObject
) -> None:
    """Each round asks somebody new, or goes on in a list; a page is never longer than its limit."""
    paginator = Paginator(parse_token(text), ids, limit)
    taken = rounds = 0
    while asks := paginator.next_asks():
        rounds += 1
        assert rounds < 5000
        for ask in asks:
            count = data.draw(st.integers(0, 3)) if rounds < 20 else 0
            kept = paginator.take(ask.node_id, count, 0, failed=rounds >= 20)
            taken += kept or 0
    assert not limit or taken <= limit
    assert parse_token(paginator.token()) is not None


@steady
@given(st.lists(st.integers(), max_size=30), st.integers(0, 2**63 - 1), st.integers(0, 40))
def test_a_page_and_the_next_offset_are_the_same_cut_from_the_list_or_by_the_server(
    items: list[int], limit: int, offset: int
) -> None:
    skipped, count = window(limit, offset)
    rows = items[skipped:] if count is None else items[skipped : skipped + count]
    assert count is None or count < 2**63
    assert page_of_window(rows, limit, offset) == page_offset(items, limit, offset)


# parameters


@steady
@given(st.one_of(numbers(), st.text()))
def test_a_node_id_is_an_int32_or_refused(text: str) -> None:
    def one() -> list[int]:
        return [parse_node_id(text, local=7)]

    def hot() -> list[int]:
        return parse_hot_node_id(text, local=7) or [7]

    for parse in (one, hot):
        try:
            (found,) = parse()
        except HttpError as exc:
            assert (exc.status, exc.text) == (400, "invalid node ID")
        else:
            assert -(2**31) <= found < 2**31


@steady
@given(st.one_of(id_lists(), st.text()))
def test_range_ids_are_int64s_or_refused(text: str) -> None:
    try:
        found = parse_range_ids(text)
    except HttpError as exc:
        assert (exc.status, exc.text) == (400, "invalid range ID")
    else:
        assert all(-(2**63) <= each < 2**63 for each in found or [])


@steady
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_right_range_ids_are_read_in_their_order(ids: list[int]) -> None:
    assert parse_range_ids(",".join(map(str, ids))) == ids


@steady
@given(forms())
def test_a_form_is_read_or_not_well_encoded_and_what_it_holds_can_be_sent_on(form: bytes) -> None:
    try:
        pairs = _form(form)
    except HttpError as exc:
        assert (exc.status, "not well encoded" in exc.text) == (500, True)
        return
    for name, value in pairs.items():
        (name + value).encode()
        assert is_plausible(name, value) in (True, False)


@steady
@given(st.text(), st.text(st.sampled_from("gzip*;q=01. ,naif-"), max_size=30))
def test_gzip_is_taken_or_not_whatever_the_header_is(before: str, text: str) -> None:
    assert takes_gzip(before + text) in (True, False)
    assert takes_gzip(f"{text.replace('gzip', '')}, gzip")
    assert not takes_gzip(f"{text.replace('gzip', '')}, gzip;q=0")


# tokens


@steady
@given(st.integers(0, 2**63 - 1), st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES))
def test_a_session_token_that_was_written_is_read_back(session_id: int, secret: bytes) -> None:
    assert decode_token(encode_token(session_id, secret)) == (session_id, secret)


@steady
@given(
    st.one_of(st.text(), mangled(encode_token(2**52, b"s" * 16).encode()).map(lambda data: data.decode("latin-1")))
)
def test_any_session_token_is_an_id_with_a_secret_or_malformed(token: str) -> None:
    try:
        found = decode_token(token)
    except MalformedTokenError as exc:
        assert re.fullmatch(r"illegal base64 data at input byte \d+", str(exc))
    else:
        assert found is None or (0 <= found[0] < 2**63 and len(found[1]) == SECRET_BYTES)


@steady
@given(st.data(), st.floats(0, 4e9))
def test_only_the_signature_itself_opens_a_question(data: st.DataObject, now_s: float) -> None:
    tokens = PeerTokens([b"k" * 32])
    right = tokens.sign("/_peer/v1/hello", now_s=now_s)
    tokens.verify(right, "/_peer/v1/hello", now_s=now_s)
    changed = data.draw(st.one_of(st.text(), mangled(right.encode()).map(lambda raw: raw.decode("latin-1"))))
    assume(_signature(changed) != _signature(right) or changed.rpartition(".")[0] != right.rpartition(".")[0])
    with pytest.raises(PeerError):
        tokens.verify(changed, "/_peer/v1/hello", now_s=now_s)
    with pytest.raises(PeerError):
        tokens.verify(right, "/_peer/v1/hello", now_s=now_s + LIFETIME_S + LEEWAY_S + 1)


def _signature(token: str) -> bytes:
    """What the last part stands for: its last letter has bits that count for nothing."""
    last = token.rpartition(".")[2]
    try:
        return base64.urlsafe_b64decode(last + "=" * (-len(last) % 4))
    except ValueError:
        return last.encode()


# JSON between nodes


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.path)
def test_any_json_of_a_question_is_its_parameters_or_refused_and_can_be_sent_on(
    question: Question[Any, Any],
) -> None:
    @steady
    @given(struct_bytes(question.takes))
    def holds(body: bytes) -> None:
        try:
            params = decode(question.takes, body)
        except DecodeError:
            return
        assert decode(question.takes, encode(params)) == params

    holds()


# texts


@steady
@given(st.binary())
def test_bytes_of_any_encoding_become_a_text_that_can_be_sent(raw: bytes) -> None:
    text = text_from_bytes(raw)
    assert msgspec.json.decode(encode(text)) == text


@steady
@given(
    st.text(st.sampled_from("aA'\"$;=(),-/*\\\n "), max_size=40),
    st.text(st.sampled_from("abcdef0123456789!#%&"), min_size=6, max_size=20),
    st.sampled_from(["ALTER ROLE r PASSWORD '{}'", "CREATE USER MAPPING FOR u SERVER s OPTIONS (password '{}')"]),
    st.sampled_from(["", ";", " -- x", " VALID UNTIL 'infinity'"]),
)
def test_a_password_is_masked_whatever_stands_before_and_behind(
    before: str, password: str, statement: str, behind: str
) -> None:
    """Before it, complete statements: an open quote would make the password part of another string."""
    assume(before.count("'") % 2 == 0 and not set(before) & set('"$\\/*-'))
    shown = mask_passwords(f"{before};\n{statement.format(password)}{behind}")
    assert password not in shown
    assert MASK in shown


@steady
@given(st.one_of(st.text(), st.text(st.sampled_from("pasword'\"$\\E()=, /*-:@"), max_size=60)))
def test_masking_takes_any_text(statement: str) -> None:
    assert isinstance(mask_passwords(statement), str)


# settings


@steady
@given(st.one_of(numbers(), any_text, st.tuples(numbers(), st.sampled_from("dhms")).map("".join)))
def test_a_duration_is_never_negative_or_none_at_all(text: str) -> None:
    found = parse_duration(text)
    assert found is None or found >= timedelta(0)


@steady
@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == timedelta(hours=hours, minutes=minutes, seconds=seconds)


def refused_or(parse: Callable[[], Any]) -> Any:
    """What it gives; None where it raised the error of a setting, with a text that names the flag."""
    try:
        return parse()
    except SettingError as exc:
        assert str(exc).startswith("--")
        assert "\n" not in str(exc)
        return None


@steady
@given(st.one_of(any_text, st.tuples(any_text, numbers()).map(":".join), st.text(st.sampled_from("[]:a0"))))
def test_an_address_is_a_host_with_a_port_or_refused(text: str) -> None:
    found = refused_or(lambda: host_port(text, setting="--http-addr", default_port=8080))
    if found is not None:
        assert 0 < found[1] < 65536


@steady
@given(st.sampled_from(["localhost", "10.0.0.1", "::1", "fe80::1%eth0", ""]), st.integers(1, 65535))
def test_an_address_that_was_written_is_read_back(host: str, port: int) -> None:
    assert host_port(joined(host, port), setting="--http-addr", default_port=8080) == (host, port)


@steady
@given(st.one_of(any_text, st.text(st.sampled_from("a=,"))))
def test_a_locality_is_pairs_or_refused(text: str) -> None:
    assert all(key and value for key, value in refused_or(lambda: parse_locality(text)) or ())


@steady
@given(
    st.one_of(
        any_text,
        st.text(max_size=30).map(lambda text: f"postgresql://u:p@h:1/{text}"),
        st.text(max_size=9).map("host={}".format),
    )
)
def test_a_url_of_a_server_is_its_parameters_or_refused(text: str) -> None:
    found = refused_or(lambda: parse_server_url(text, setting="--server-url"))
    assert found is None or "dbname" in found


def test_a_url_that_is_not_utf8_is_refused_with_the_settings_name() -> None:
    """As Python gives it from a command line: with a lone surrogate for the byte."""
    with pytest.raises(SettingError, match="--server-url is not a PostgreSQL URL"):
        parse_server_url("postgresql://h/\udc80", setting="--server-url")
