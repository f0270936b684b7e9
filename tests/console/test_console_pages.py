"""What holds for every page: who can't see it well can use it, it fits a telephone, and it is there at once."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from fix_browser import NARROW, Window, needs_chromium
from fix_cluster import Api
from fix_scene import range_id_of
from rangeland.engine.load import NAME as DATABASE

pytestmark = needs_chromium

PAGES = (
    "overview",
    "sessions",
    "sessions?view=blocked",
    "hot-ranges",
    "ranges/{range_id}",
    "databases",
    f"databases/{DATABASE}",
    f"databases/{DATABASE}?tab=grants",
    f"databases/{DATABASE}/public.pgbench_accounts",
    "events",
    "charts",
    "no-such-page",
)
MAX_FIRST_VIEW_BYTES = 150_000


@pytest.mark.parametrize("fragment", PAGES)
def test_a_page_has_no_serious_issue_for_anybody_and_fits_a_telephone(
    tab: Window, apis: list[Api], token: str, fragment: str
) -> None:
    tab.log_in()
    range_id = range_id_of(apis[0], token, "public.pgbench_accounts")
    page = tab.open(fragment.format(range_id=range_id))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.wait_for_load_state("networkidle")
    tab.require_accessible()
    page.set_viewport_size({"width": NARROW, "height": 800})
    tab.require_no_sideways_scrolling()
    tab.require_accessible()


def test_the_first_view_is_small(tab: Window) -> None:
    """What is transferred, headers included, until the overview is there, its answers among it."""
    tab.log_in()
    session = tab.context.new_cdp_session(tab.page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page = tab.open()
    expect(page.locator("table.nodes").get_by_role("row").filter(has_text="node 3")).to_be_visible()
    assert len(sizes) > 10
    assert sum(sizes) <= MAX_FIRST_VIEW_BYTES


def test_a_file_of_the_console_is_asked_for_once(tab: Window) -> None:
    """Its address holds the version, so a browser needs no second look."""
    tab.log_in()
    page = tab.open()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto("about:blank")
    tab.open()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    entries = page.evaluate("performance.getEntriesByType('resource').map((each) => [each.name, each.transferSize])")
    sizes = {name: size for name, size in entries if "/console/" in name}
    assert len(sizes) > 10
    assert {name: size for name, size in sizes.items() if size} == {}


@pytest.mark.parametrize(
    ("key", "heading"),
    [("o", "Overview"), ("s", "Sessions"), ("h", "Hot ranges"), ("d", "Databases"), ("e", "Events"), ("c", "Charts")],
)
def test_two_keys_open_a_page_whose_heading_has_the_focus(tab: Window, key: str, heading: str) -> None:
    tab.log_in()
    page = tab.open("no-such-page")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such page")
    page.keyboard.press("g")
    page.keyboard.press(key)
    expect(page.get_by_role("heading", name=heading, level=1)).to_be_focused()
    expect(page.get_by_role("navigation", name="Pages").locator("[aria-current=page]")).to_have_text(heading)


def test_the_colours_that_were_chosen_are_those_of_the_next_visit(tab: Window) -> None:
    tab.log_in()
    page = tab.open()
    button = page.get_by_role("button", name="Colours")
    expect(button).to_be_visible()
    while button.get_attribute("aria-label") != "Colours: dark":
        page.keyboard.press("t")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_nothing_is_asked_for_while_it_is_paused(tab: Window) -> None:
    tab.log_in()
    tab.page.clock.install()
    page = tab.open()
    expect(page.locator("table.nodes")).to_contain_text("node 3")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="paused")).to_be_visible()
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    assert asked == []
