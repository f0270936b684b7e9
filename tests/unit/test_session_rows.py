"""Rows become sessions, and sessions keep their places from page to page; without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rangeland.collect.session_places import CLOSED_SHOWN, LISTS, Places, cut_page
from rangeland.collect.session_rows import SessionRow, split_workers
from rangeland.collect.sessions import known_item, part_from_page, session_from_row
from rangeland.collect.statements import statement_from_bytes
from rangeland.wire.json import decode
from rangeland.wire.parts import Item, SessionsParams
from rangeland.wire.sessions import Session, SessionStatus

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def row(pid: int, *, start_s: float | None = None, read_s: float = 1000, username: str = "joe") -> SessionRow:
    """A session that began `start_s` seconds (by default: its pid) after noon."""
    start = NOON + timedelta(seconds=pid if start_s is None else start_s)
    return SessionRow(
        read_at=NOON + timedelta(seconds=read_s),
        pid=pid,
        backend_start=start,
        username_bytes=username.encode(),
        database_bytes=b"shop",
        application_name_bytes=b"till",
        client_address="10.0.0.1",
        client_port=5000,
        state="idle",
        state_change=start,
        xact_start=None,
        query_start=start,
        wait_event_type="Client",
        wait_event="ClientRead",
        blocking_pids=None,
        query_bytes=b"SELECT 1",
        query_id=-7,
        backend_type="client backend",
        leader_pid=None,
        in_recovery=False,
    )


class Reader:
    """A client that pages through one node's list while the sessions change."""

    def __init__(self, places: Places, *, limit: int, username: str = "", exclude_closed: bool = False) -> None:
        self.places = places
        self.params = SessionsParams(limit=limit, username=username, exclude_closed=exclude_closed)
        self.pids: list[int] = []
        self.is_done = False

    def read_page(self, rows: list[SessionRow], *, at_s: float = 0) -> list[int]:
        """Read on; returns the pids of the page."""
        index = self.params.index
        mine = [each for each in rows if self.params.username in ("", each.username)]
        placed = self.places.arrange(mine, self.params.username, NOON + timedelta(seconds=at_s))
        page = cut_page(placed, self.params)
        self.places.show(page.passed, self.params.username)
        part_from_page(page, self.params, node_id=1)
        self.is_done = page.next_index == 0
        self.params = SessionsParams(
            limit=self.params.limit,
            username=self.params.username,
            exclude_closed=self.params.exclude_closed,
            index=page.next_index or index,
        )
        pids = [placed.row.pid for _, placed in page.shown]
        self.pids += pids
        return pids


def test_pages_follow_one_another_by_start() -> None:
    reader = Reader(Places(), limit=2)
    rows = [row(pid) for pid in (3, 1, 2)]
    assert (reader.read_page(rows), reader.is_done) == ([1, 2], False)
    assert (reader.read_page(rows), reader.is_done) == ([3], True)


def test_who_ends_after_being_shown_moves_nobody() -> None:
    reader = Reader(Places(), limit=2)
    reader.read_page([row(pid) for pid in (1, 2, 3, 4)])
    assert reader.read_page([row(pid) for pid in (2, 3, 4)]) == [3, 4]


def test_who_ends_before_being_shown_leaves_no_gap() -> None:
    reader = Reader(Places(), limit=2)
    reader.read_page([row(pid) for pid in (1, 2, 3, 4)])
    assert (reader.read_page([row(pid) for pid in (1, 2, 4)]), reader.is_done) == ([4], True)


def test_who_shows_up_late_with_an_early_start_comes_behind_those_shown() -> None:
    """A slow login is listed with the start of its connection, when others are listed already."""
    reader = Reader(Places(), limit=2)
    reader.read_page([row(pid) for pid in (1, 2, 3)])
    assert reader.read_page([row(9, start_s=0.5), *(row(pid) for pid in (1, 2, 3))]) == [9, 3]
    assert reader.pids == [1, 2, 9, 3]


def test_two_readers_of_different_users_do_not_disturb_each_other() -> None:
    places = Places()
    of_all, of_ann = Reader(places, limit=2), Reader(places, limit=1, username="ann")
    rows = [row(1), row(2, username="ann"), row(3), row(4, username="ann"), row(5), row(6, username="ann")]
    of_all.read_page(rows)
    of_ann.read_page(rows)
    of_ann.read_page(rows)
    rows.append(row(8, start_s=1.5, username="ann"))
    rows.append(row(9, start_s=1.6))
    del rows[0]
    while not (of_all.is_done and of_ann.is_done):
        for reader in (of_all, of_ann):
            if not reader.is_done:
                reader.read_page(rows)
    assert sorted(of_all.pids) == [1, 2, 3, 4, 5, 6, 8, 9]
    assert sorted(of_ann.pids) == [2, 4, 6, 8]


def test_who_lives_from_the_first_page_to_the_last_is_shown_exactly_once() -> None:
    """2,000 sessions, 60 of which end and begin between any two pages."""
    reader = Reader(Places(), limit=100)
    alive = [row(pid) for pid in range(1, 2001)]
    stays = {each.pid for each in alive if each.pid % 3 == 0}
    newest = 2000
    while not reader.is_done:
        reader.read_page(alive)
        others = sorted((each.pid for each in alive if each.pid not in stays), key=lambda pid: pid * 7919 % 1009)
        alive = [each for each in alive if each.pid not in others[:60]]
        alive += [row(pid, start_s=pid - 50) for pid in range(newest + 1, newest + 61)]
        newest += 60
    assert len(reader.pids) == len(set(reader.pids))
    assert stays <= set(reader.pids)


def test_a_closed_session_is_shown_for_a_minute_and_then_forgotten() -> None:
    places = Places()
    Reader(places, limit=2).read_page([row(1), row(2)])
    for at_s, expected in ((1, [1, 2]), (61, [1, 2]), (62, [2])):
        now = NOON + timedelta(seconds=at_s)
        assert [placed.row.pid for _, placed in places.arrange([row(2)], "", now)] == expected


def test_closed_sessions_that_are_not_wanted_keep_their_places_all_the_same() -> None:
    reader = Reader(Places(), limit=2, exclude_closed=True)
    assert reader.read_page([row(pid) for pid in (1, 2, 3, 4)]) == [1, 2]
    assert reader.read_page([row(pid) for pid in (2, 3, 4)]) == [3, 4]
    again = cut_page(reader.places.arrange([row(4)], "", NOON), SessionsParams(limit=5, exclude_closed=True))
    assert part_from_page(again, SessionsParams(limit=5), node_id=1).places == [3]


def test_a_reading_that_was_overtaken_ends_nobody() -> None:
    places = Places()
    Reader(places, limit=2).read_page([row(1, read_s=20), row(2, read_s=20)])
    placed = places.arrange([row(1, read_s=10)], "", NOON)
    assert [each.ended_at for _, each in placed] == [None, None]


def test_a_session_that_was_missed_by_mistake_lives_again() -> None:
    places = Places()
    Reader(places, limit=2).read_page([row(1), row(2)])
    places.arrange([row(2)], "", NOON)
    assert [each.ended_at for _, each in places.arrange([row(1), row(2)], "", NOON)] == [None, None]


def test_a_closed_session_tells_its_end_and_nothing_of_the_present() -> None:
    running = row(1)._replace(state="active", xact_start=NOON, wait_event_type="Lock", blocking_pids=[4])
    session = session_from_row(running, node_id=1, ended_at=NOON + timedelta(seconds=9))
    assert session.status is SessionStatus.CLOSED
    assert session.end == "2024-05-01T12:00:09Z"
    assert (session.active_queries, session.active_txn, session.blocking_pids) == ([], None, [])
    assert (session.state, session.wait_event_type) == ("", "")
    assert session.last_active_query == "SELECT 1"


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [
        ("10.0.0.1", 5000, "10.0.0.1:5000"),
        ("::1", 5000, "[::1]:5000"),
        (None, -1, "[local]"),
        (None, None, ""),
    ],
)
def test_a_client_address(address: str | None, port: int | None, expected: str) -> None:
    session = session_from_row(row(1)._replace(client_address=address, client_port=port), node_id=1)
    assert session.client_address == expected


@pytest.mark.parametrize("state", [None, "disabled"])
def test_where_activity_is_not_tracked_nothing_is_invented(state: str | None) -> None:
    untracked = row(1)._replace(state=state, query_start=None, query_bytes=b"", query_id=None, state_change=None)
    session = session_from_row(untracked, node_id=1)
    assert session.active_queries == []
    assert (session.last_active_query, session.query_id) == ("", "")


def test_elapsed_time_is_never_negative() -> None:
    """A server's clock may be set back."""
    ahead = NOON + timedelta(seconds=2000)
    session = session_from_row(row(1)._replace(state="active", xact_start=ahead, query_start=ahead), node_id=1)
    assert session.active_txn is not None
    assert (session.active_txn.elapsed_time, session.active_queries[0].elapsed_time) == (0, 0)


def test_a_query_id_is_text_with_its_sign() -> None:
    assert session_from_row(row(1), node_id=1).query_id == "-7"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a" * 1000, "a" * 1000),
        (b"a" * 1001, "a" * 1000 + "…"),
        ("é".encode() * 500, "é" * 500),
        (b"a" + "é".encode() * 500, "a" + "é" * 499 + "…"),
        (b"\xff", "\ufffd"),
        (None, ""),
    ],
)
def test_a_statement_is_cut_at_1000_bytes_between_letters(raw: bytes | None, expected: str) -> None:
    assert statement_from_bytes(raw).sql == expected


def test_a_password_behind_the_cut_is_masked_too() -> None:
    text = statement_from_bytes(b" " * 970 + b"ALTER ROLE a PASSWORD 's3cr3t and more'").sql
    assert "s3cr" not in text
    assert text.endswith("…")


def test_of_many_closed_sessions_the_last_thousand_are_shown_and_whoever_lives_keeps_its_place() -> None:
    places = Places()
    rows = [row(pid) for pid in range(1, CLOSED_SHOWN + 102)]
    places.show(places.arrange(rows, "", NOON), "")
    places.arrange(rows[50:], "", NOON + timedelta(seconds=1))
    page = cut_page(places.arrange(rows[-1:], "", NOON + timedelta(seconds=2)), SessionsParams())
    assert [bool(session.ended_at) for _, session in page.shown] == [True] * CLOSED_SHOWN + [False]
    assert {session.row.pid for _, session in page.shown}.isdisjoint(range(1, 51))
    assert page.shown[-1][0] == CLOSED_SHOWN + 100


def test_whoever_lives_is_shown_though_closed_ones_before_it_are_forgotten_between_two_pages() -> None:
    reader = Reader(Places(), limit=2, exclude_closed=True)
    rows = [row(pid) for pid in range(1, 8)]
    reader.places.show(reader.places.arrange(rows, "", NOON), "")
    reader.places.arrange(rows[4:], "", NOON + timedelta(seconds=1))
    assert reader.read_page(rows[4:], at_s=60) == [5, 6]
    assert (reader.read_page(rows[4:], at_s=62), reader.is_done) == ([7], True)


def test_whoever_lives_is_shown_though_many_end_at_once_between_two_pages() -> None:
    reader = Reader(Places(), limit=CLOSED_SHOWN * 2)
    rows = [row(pid) for pid in range(1, CLOSED_SHOWN * 3)]
    reader.read_page(rows)
    rest = rows[CLOSED_SHOWN * 2 :]
    assert reader.read_page(rest) == [each.pid for each in rest]


def test_a_role_that_is_renamed_keeps_its_sessions_in_the_list() -> None:
    places = Places()
    Reader(places, limit=5).read_page([row(1), row(2)])
    Reader(places, limit=5, username="joe").read_page([row(1), row(2)])
    renamed = [row(1, username="ann"), row(2, username="ann")]
    assert Reader(places, limit=5, username="ann").read_page(renamed) == [1, 2]
    assert Reader(places, limit=5).read_page(renamed) == [1, 2]
    assert Reader(places, limit=5, username="joe").read_page([]) == []


def test_the_lists_that_nobody_asked_for_in_the_longest_time_begin_anew() -> None:
    """As many as there may be users: of each it takes memory which places were given."""
    places = Places()
    for number in range(LISTS + 1):
        Reader(places, limit=1, username=f"user {number}").read_page([row(1, username=f"user {number}")], at_s=number)
    at = NOON + timedelta(seconds=LISTS + 100)
    firsts = [places.arrange([row(2, username=name)], name, at)[0][0] for name in ("user 0", "user 1")]
    assert firsts == [0, 1]


def test_a_reading_of_all_keeps_the_places_of_a_reader_of_pages() -> None:
    """One mechanism: what an answer without pages showed has a place, and moves none that a page showed."""
    reader = Reader(Places(), limit=2)
    reader.read_page([row(pid) for pid in (1, 2, 3, 4)])
    everything = reader.places.arrange([row(pid) for pid in (2, 3, 4, 5)], "", NOON)
    reader.places.show(everything, "")
    reader.read_page([row(9, start_s=0.5), *(row(pid) for pid in (2, 4, 5))])
    reader.read_page([row(9, start_s=0.5), *(row(pid) for pid in (2, 4, 5))])
    assert reader.pids == [1, 2, 3, 4, 5, 9]


def test_workers_belong_to_their_leader_and_are_no_sessions() -> None:
    worker = row(8)._replace(leader_pid=1, backend_type="parallel worker", wait_event="PgSleep")
    sessions, workers = split_workers([row(1), worker._replace(pid=9), row(2), worker])
    assert [each.pid for each in sessions] == [1, 2]
    assert {pid: [each.pid for each in found] for pid, found in workers.items()} == {1: [8, 9]}


def items_of(
    places: Places, rows: list[SessionRow], *, redacted_for: str = "", node_id: int = 1, at_s: float = 0
) -> list[Item]:
    """One answer with all sessions, of a node that remembers what it showed."""
    params = SessionsParams(redacted_for=redacted_for)
    page = cut_page(places.arrange(rows, "", NOON + timedelta(seconds=at_s)), params)
    places.show(page.passed, "")
    known = [None if redacted_for else known_item(each, node_id) for _, each in page.shown]
    return part_from_page(page, params, node_id=node_id, known=known).items


def test_a_session_that_did_nothing_is_not_translated_again() -> None:
    places = Places()
    [first] = items_of(places, [row(1)])
    [again] = items_of(places, [row(1, read_s=1007)])
    assert again is first


@pytest.mark.parametrize(
    "field", [name for name in SessionRow._fields if name not in ("read_at", "pid", "backend_start")]
)
def test_a_session_of_which_anything_changed_is_translated_again(field: str) -> None:
    """Its process and its start are its identity: with another of them it is another session."""
    other = row(1)._replace(
        username_bytes=b"ann",
        database_bytes=b"bank",
        application_name_bytes=b"desk",
        client_address="10.0.0.2",
        client_port=5001,
        state="active",
        state_change=NOON,
        xact_start=NOON,
        query_start=NOON,
        wait_event_type="Lock",
        wait_event="relation",
        blocking_pids=[7],
        query_bytes=b"SELECT 2",
        query_id=8,
        backend_type="walsender",
        leader_pid=9,
        in_recovery=True,
    )
    places = Places()
    items_of(places, [row(1)])
    changed = row(1)._replace(**{field: getattr(other, field)})
    [shown], [expected] = items_of(places, [changed]), items_of(Places(), [changed])
    assert bytes(shown.body) == bytes(expected.body)


def test_a_statement_that_runs_on_shows_how_long_at_each_answer() -> None:
    places = Places()
    times = [
        decode(Session, items_of(places, [row(1, read_s=read_s)._replace(state="active")])[0].body)
        .active_queries[0]
        .elapsed_time
        for read_s in (11, 12)
    ]
    assert times == [10_000_000_000, 11_000_000_000]


def test_an_open_transaction_that_does_nothing_shows_how_long_at_each_answer() -> None:
    idle = [row(1, read_s=read_s)._replace(state="idle in transaction", xact_start=NOON) for read_s in (11, 12)]
    places = Places()
    shown = [decode(Session, items_of(places, [each])[0].body).active_txn for each in idle]
    assert [each.elapsed_time for each in shown if each] == [11_000_000_000, 12_000_000_000]


def test_a_session_that_ended_and_one_that_was_only_missed_are_translated_again() -> None:
    places = Places()
    items_of(places, [row(1), row(2)])
    missed = items_of(places, [row(2)], at_s=1)
    found = items_of(places, [row(1), row(2)], at_s=2)
    statuses = [[decode(Session, item.body).status for item in items] for items in (missed, found)]
    idle, closed = SessionStatus.IDLE, SessionStatus.CLOSED
    assert statuses == [[closed, idle], [idle, idle]]


def test_what_was_translated_for_others_is_not_shown_to_a_redacted_reader_nor_the_other_way_round() -> None:
    places = Places()
    shown = [
        decode(Session, items_of(places, [row(1)], redacted_for=reader)[0].body).last_active_query
        for reader in ("", "ann", "", "ann")
    ]
    assert shown == ["SELECT 1", "SELECT _", "SELECT 1", "SELECT _"]


def test_a_node_that_got_another_number_shows_that() -> None:
    places = Places()
    shown = [decode(Session, items_of(places, [row(1)], node_id=node_id)[0].body).node_id for node_id in (1, 2)]
    assert shown == [1, 2]


@pytest.mark.parametrize(
    ("username", "redacted_for", "sql"), [("joe", "ann", "SELECT _"), ("joe", "joe", "SELECT 1")]
)
def test_redaction_spares_the_reader_s_own_statements(username: str, redacted_for: str, sql: str) -> None:
    placed = Places().arrange([row(1, username=username)], "", NOON)
    params = SessionsParams(redacted_for=redacted_for)
    [item] = part_from_page(cut_page(placed, params), params, node_id=1).items
    assert decode(Session, item.body).last_active_query == sql


def test_a_name_that_reads_the_same_in_another_encoding_is_not_one_s_own() -> None:
    placed = Places().arrange([row(1)._replace(username_bytes=b"jo\xe9")], "", NOON)
    params = SessionsParams(redacted_for="jo\ufffd")
    [item] = part_from_page(cut_page(placed, params), params, node_id=1).items
    assert decode(Session, item.body).last_active_query == "SELECT _"


def test_a_redacted_statement_without_a_form_is_left_out() -> None:
    unsure = row(1)._replace(query_bytes=b"SELECT 'perhaps \\' or not'")
    session = session_from_row(unsure, node_id=1, is_redacted=True)
    assert (session.last_active_query, session.last_active_query_no_constants) == ("", "")
