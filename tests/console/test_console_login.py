"""Logging in to the console and out of it, by password and by link, and what stays when a session ends elsewhere."""

from __future__ import annotations

from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from fix_browser import Window, needs_chromium
from fix_cluster import Api, log_in
from rangeland.engine.cluster import Cluster

pytestmark = needs_chromium


def require_in(page: Page, heading: str = "Overview") -> None:
    """Wait for a page that only who is logged in sees."""
    expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()


def require_out(page: Page) -> None:
    """Wait for the form."""
    expect(page.get_by_role("button", name="Log in", exact=True)).to_be_visible()


def test_a_wrong_password_is_told_and_the_right_one_opens_the_overview(tab: Window, cluster: Cluster) -> None:
    page = tab.open()
    tab.fill_login(cluster.username, "not the password")
    expect(page.get_by_role("alert")).to_contain_text("don't match any account")
    expect(page.get_by_label("PostgreSQL role")).to_have_value(cluster.username)
    tab.fill_login(cluster.username, cluster.password)
    require_in(page)


def test_a_role_that_may_read_nothing_is_told_why(tab: Window, cluster: Cluster) -> None:
    page = tab.open()
    tab.fill_login("stranger", cluster.servers[0].password_by_user["stranger"])
    expect(page.get_by_role("alert")).to_contain_text("may read nothing here")


def test_a_script_of_the_page_never_sees_the_session(tab: Window, cluster: Cluster) -> None:
    page = tab.open()
    tab.fill_login(cluster.username, cluster.password)
    require_in(page)
    assert page.evaluate("document.cookie") == ""
    [cookie] = tab.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (
        "session",
        True,
        True,
        "Strict",
    )
    assert cookie["value"] not in page.content()


def test_a_link_logs_in_once_and_leaves_no_session_in_the_address(
    tab: Window, cluster: Cluster, apis: list[Api]
) -> None:
    link = f"login?{urlencode({'session': log_in(cluster, apis[0], cluster.username)})}"
    page = tab.open(link)
    require_in(page)
    assert page.url.endswith("#/overview")
    tab.context.clear_cookies()
    page.goto("about:blank")
    tab.open(link)
    expect(page.get_by_role("alert")).to_contain_text("This link has been used")
    tab.fill_login(cluster.username, cluster.password)
    require_in(page)


def test_logging_out_ends_the_session_on_every_node(tab: Window, cluster: Cluster, apis: list[Api]) -> None:
    tab.log_in()
    [cookie] = tab.context.cookies()
    page = tab.open()
    require_in(page)
    page.get_by_role("button", name="Log out").click()
    require_out(page)
    assert [api.get("nodes/", cookie["value"]).status for api in apis] == [401, 401, 401]
    page.reload()
    require_out(page)


def test_a_session_that_ended_elsewhere_leaves_what_was_on_the_screen(
    tab: Window, cluster: Cluster, apis: list[Api]
) -> None:
    tab.log_in()
    page = tab.open("overview")
    row = page.get_by_role("row").filter(has_text="node 3")
    expect(row).to_be_visible()
    [cookie] = tab.context.cookies()
    assert apis[1].log_out(cookie["value"]).status == 200
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Log in again")
    expect(dialog).to_be_visible()
    expect(page.locator("main").get_by_text("node 3", exact=True)).to_be_visible()
    tab.fill_login(cluster.username, cluster.password)
    expect(dialog).to_have_count(0)
    expect(row).to_be_visible()


def test_the_door_is_accessible_and_fits_a_telephone(tab: Window) -> None:
    page = tab.open()
    require_out(page)
    tab.require_accessible()
    page.set_viewport_size({"width": 390, "height": 800})
    tab.require_no_sideways_scrolling()
    tab.require_accessible()
