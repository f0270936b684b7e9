"""Events as sentences, and charts with a line a node."""

from __future__ import annotations

from playwright.sync_api import expect

from fix_browser import Window, needs_chromium
from rangeland.engine.cluster import Cluster

pytestmark = needs_chromium

WRITTEN_MS = 30_000  # events wait in memory for a moment, and the page asks every ten seconds
CHARTS = ("Connections", "Transactions", "Replication lag", "Disk free")


def test_a_login_is_told_in_words_with_its_fields_on_demand(tab: Window, cluster: Cluster) -> None:
    page = tab.open()
    tab.fill_login(cluster.username, cluster.password)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Events").click()
    page.get_by_label("Type").select_option("user_login")
    event = page.locator("ol.events > li").filter(has_text=cluster.username).first
    expect(event).to_be_visible(timeout=WRITTEN_MS)
    event.locator("summary").click()
    expect(event).to_contain_text("told by")
    assert "event=" in page.url


def test_a_filter_that_nothing_passes_says_so(tab: Window) -> None:
    tab.log_in()
    page = tab.open("events?q=nobody+ever+did+this")
    expect(page.get_by_text("No such event")).to_be_visible()


def test_each_chart_has_its_place_before_there_is_a_point_and_a_span_in_the_address(tab: Window) -> None:
    tab.log_in()
    page = tab.open("charts")
    for title in CHARTS:
        expect(page.get_by_role("heading", name=title, level=3)).to_be_visible()
    page.get_by_role("navigation", name="Span").get_by_role("link").last.click()
    assert "span=" in page.url
    toggle = page.get_by_role("group", name="Nodes").get_by_role("button", name="node 3")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "false")
    assert "hide=3" in page.url
