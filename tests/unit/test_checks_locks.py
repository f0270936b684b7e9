"""Who is at the root of those who wait, as rows tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rangeland.checks.locks import Root, TransactionRow, roots_of

NOW = datetime(2025, 1, 1, tzinfo=UTC)


def row(
    pid: int,
    *blocking: int,
    waited_s: float | None = 10.0,
    lock: str = "",
    asked: bool = True,
    prepared_xids: list[int] | None = None,
) -> TransactionRow:
    """A session that waits for those; None waited for: it doesn't wait."""
    is_waiting = waited_s is not None
    return TransactionRow(
        read_at=NOW,
        pid=pid,
        backend_type="client backend",
        database="shop",
        username="app",
        application_name="",
        client_address="",
        state="active",
        state_change=NOW,
        xact_start=NOW,
        has_xid=False,
        xmin=None,
        xmin_age=None,
        waits_since=NOW - timedelta(seconds=waited_s) if waited_s is not None else None,
        waits_for="relation" if is_waiting else "",
        mode="",
        relation=None,
        lock=lock,
        blocking_pids=list(blocking) if asked and is_waiting else None,
        prepared_xids=prepared_xids,
    )


def told(*rows: TransactionRow) -> list[tuple[tuple[tuple[str, int], ...], int, list[int]]]:
    """Of each root the blockers, how many wait directly, and the pids of all."""
    return [_told(root) for root in roots_of(1, list(rows))]


def _told(root: Root) -> tuple[tuple[tuple[str, int], ...], int, list[int]]:
    return root.blockers, root.direct, [waiter.pid for waiter in root.waiters]


def test_nobody_waits_for_nobody() -> None:
    assert told(row(1, waited_s=None)) == []


def test_a_chain_has_one_root_and_the_longest_wait_comes_first() -> None:
    chain = (row(1, waited_s=None), row(2, 1, waited_s=5), row(3, 2, waited_s=9), row(4, 3, waited_s=1))
    assert told(*chain) == [((("pid", 1),), 1, [3, 2, 4])]


def test_roots_of_the_same_victims_are_one_and_others_are_apart() -> None:
    assert told(row(1, 8, 9), row(2, 7)) == [((("pid", 7),), 1, [2]), ((("pid", 8), ("pid", 9)), 1, [1])]


def test_a_circle_has_no_root() -> None:
    """PostgreSQL ends it after deadlock_timeout."""
    assert told(row(1, 2), row(2, 1)) == []


def test_who_was_not_asked_waits_for_whom_others_wait_for_with_the_same_lock() -> None:
    assert told(row(1, 9, lock="a"), row(2, lock="a", asked=False)) == [((("pid", 9),), 2, [1, 2])]
    assert told(row(1, 9, lock="a"), row(2, lock="b", asked=False)) == [((("pid", 9),), 1, [1])]


def test_a_prepared_transaction_is_a_root_also_where_it_is_not_known_which() -> None:
    assert told(row(1, 0, prepared_xids=[700])) == [((("xid", 700),), 1, [1])]
    assert told(row(1, 0)) == [((("xid", 0),), 1, [1])]
