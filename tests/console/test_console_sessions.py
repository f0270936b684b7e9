"""Sessions: who is blocked, by whom, and what happens to the victim when the blocker is cancelled or ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from playwright.sync_api import Locator, Page, expect

from fix_browser import Window, needs_chromium
from fix_cluster import add_user, wait_until
from rangeland.engine.cluster import Cluster
from rangeland.engine.load import NAME as DATABASE

pytestmark = needs_chromium

ROLE = "shopkeeper"
UPDATE = b"UPDATE shop_counter SET n = n + 1"


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> Iterator[str]:
    """Where a role of its own logs in to the primary; it has a table with one row."""
    password = add_user(cluster, ROLE)
    primary = cluster.servers[0]
    with psycopg.connect(primary.conninfo(DATABASE), autocommit=True) as connection:
        connection.execute("CREATE TABLE shop_counter (n int)")
        connection.execute("INSERT INTO shop_counter VALUES (0)")
        connection.execute(f"GRANT ALL ON shop_counter TO {ROLE}".encode())
        yield primary.url(DATABASE, ROLE, password)
        connection.execute("DROP TABLE shop_counter")
        connection.execute(f"DROP ROLE {ROLE}".encode())


class Victim:
    """A session that waits for the row, in a thread of its own; `error` is what became of it."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, application_name="billing", autocommit=True)
        self.error: psycopg.Error | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._connection.execute(UPDATE)
        except psycopg.Error as exc:
            self.error = exc

    def has_gone_on(self) -> bool:
        return not self._thread.is_alive() and self.error is None

    def close(self) -> None:
        self._connection.cancel_safe()
        self._thread.join(10)
        self._connection.close()


@contextmanager
def queue(url: str, *, is_busy: bool) -> Iterator[Victim]:
    """`checkout` holds the row in an open transaction, busy with a statement or idle; `billing` waits for it."""
    holder = psycopg.connect(url, application_name="checkout")
    holder.execute(UPDATE)
    sleeper = threading.Thread(target=_sleep, args=(holder,), daemon=True)
    if is_busy:
        sleeper.start()
    victim = Victim(url)
    try:
        yield victim
    finally:
        if is_busy:
            holder.cancel_safe()
            sleeper.join(10)
        holder.close()
        victim.close()


def _sleep(connection: psycopg.Connection) -> None:
    try:
        connection.execute("SELECT pg_sleep(600)")
    except psycopg.Error:
        return  # it was cancelled or ended: what the test is about


@pytest.fixture
def page(tab: Window) -> Page:
    tab.log_in()
    return tab.open("sessions")


def line(page: Page, application: str) -> Locator:
    """The row of that application."""
    return page.get_by_role("row").filter(has_text=application)


def open_blocker(page: Page) -> Locator:
    """From the list over the tree to the detail of who holds up the others."""
    expect(line(page, "billing")).to_be_visible()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Blocked").click()
    root = page.get_by_role("table", name="Blocking and blocked sessions").get_by_role("row").nth(1)
    expect(root).to_contain_text("checkout")
    expect(root).to_contain_text("1 waits")
    root.get_by_role("link").first.click()
    detail = page.get_by_role("dialog", name="Process")
    expect(detail).to_contain_text("Blocks 1 session")
    return detail


def test_the_blocker_of_a_blocked_session_is_cancelled_and_the_victim_goes_on(page: Page, url: str) -> None:
    with queue(url, is_busy=True) as victim:
        detail = open_blocker(page)
        detail.get_by_role("button", name="Cancel the statement").click()
        asked = page.get_by_role("dialog", name="Cancel the statement?")
        expect(asked).to_contain_text("checkout")
        expect(asked).to_contain_text("1 session waits")
        assert not victim.has_gone_on()
        asked.get_by_role("button", name="Cancel it").click()
        expect(asked).to_have_count(0)
        wait_until(victim.has_gone_on, "the victim's statement is done")


def test_an_idle_transaction_can_only_be_ended_and_its_detail_stays_open(page: Page, url: str) -> None:
    with queue(url, is_busy=False) as victim:
        detail = open_blocker(page)
        expect(detail.get_by_role("button", name="Cancel the statement")).to_have_count(0)
        detail.get_by_role("button", name="Terminate").click()
        page.get_by_role("dialog", name="End the session?").get_by_role("button", name="End it").click()
        wait_until(victim.has_gone_on, "the victim's statement is done")
        expect(detail).to_contain_text("This session has ended")
        expect(detail).to_contain_text("UPDATE")


def test_leaving_it_leaves_the_session_alone(page: Page, url: str) -> None:
    with queue(url, is_busy=True) as victim:
        detail = open_blocker(page)
        detail.get_by_role("button", name="Terminate").click()
        page.get_by_role("button", name="Leave it").click()
        page.keyboard.press("Escape")
        expect(detail).to_have_count(0)
        page.get_by_role("navigation", name="Views").get_by_role("link", name="All").click()
        expect(line(page, "checkout")).to_be_visible()
        assert not victim.has_gone_on()


def test_a_link_carries_the_filters(tab: Window, url: str) -> None:
    tab.log_in()
    with queue(url, is_busy=True):
        page = tab.open(f"sessions?user={ROLE}&state=active&q=pg_sleep")
        expect(line(page, "checkout")).to_be_visible()
        expect(line(page, "billing")).to_have_count(0)
        page.get_by_label("Search").fill("")
        expect(line(page, "billing")).to_be_visible()
        assert "q=" not in page.url
        assert f"user={ROLE}" in page.url


def test_the_keyboard_alone_opens_a_session_and_closes_it(tab: Window, url: str) -> None:
    tab.log_in()
    with queue(url, is_busy=True):
        page = tab.open(f"sessions?user={ROLE}")
        expect(line(page, "checkout")).to_be_visible()
        page.get_by_role("table", name="Sessions").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog", name="Process")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
