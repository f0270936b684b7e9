"""The overview: the nodes, and what is wrong with them, in words, before anything else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from fix_browser import Window, needs_chromium
from fix_cluster import LOAD_TPS, running_cluster
from rangeland.engine.cluster import Cluster

pytestmark = needs_chromium

NOTICED_MS = 30_000  # a node that is gone is known as such after seconds, and the page asks every five


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One of the module's own: nodes are killed."""
    with running_cluster(3, load_tps=LOAD_TPS) as made:
        yield made


@pytest.fixture
def page(tab: Window) -> Page:
    tab.log_in()
    return tab.open("overview")


def row_of(page: Page, node: int) -> Locator:
    return page.locator("table.nodes").get_by_role("row").filter(has_text=f"node {node}")


def test_three_nodes_with_their_servers_are_there(page: Page, cluster: Cluster) -> None:
    for number, node in enumerate(cluster.nodes, 1):
        row = row_of(page, number)
        expect(row).to_contain_text("live")
        expect(row).to_contain_text("primary" if number == 1 else "standby")
        expect(row).to_contain_text(node.address)
        expect(row).to_contain_text("free")
    expect(page.get_by_role("status").filter(has_text="Nothing is wrong")).to_be_visible(timeout=NOTICED_MS)


def test_a_node_that_was_killed_is_named_first_in_words_and_its_figures_are_marked_as_old(
    page: Page, cluster: Cluster
) -> None:
    expect(row_of(page, 3)).to_contain_text("live")
    cluster.nodes[2].kill()
    try:
        first = page.locator("ul.problems > li").first
        expect(first).to_contain_text("node 3", timeout=NOTICED_MS)
        expect(first).to_contain_text("does not answer")
        row = page.locator("table.nodes tbody tr").first
        expect(row).to_contain_text("node 3", timeout=NOTICED_MS)
        expect(row).to_contain_text("unavailable")
        expect(row).to_contain_text("figures from", timeout=NOTICED_MS)
        expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
        first.get_by_text("node 3").first.click()
        expect(first).to_contain_text("Next:")
    finally:
        cluster.nodes[2].start()
        cluster.nodes[2].wait_until_ready()
    expect(row_of(page, 3)).to_contain_text("live", timeout=NOTICED_MS)


def test_when_the_node_behind_the_page_is_gone_the_screen_stays_and_another_node_takes_over(
    page: Page, cluster: Cluster
) -> None:
    expect(row_of(page, 2)).to_contain_text("live")
    cluster.nodes[0].kill()
    try:
        page.keyboard.press("r")
        silence = page.get_by_role("status").filter(has_text="has not answered for")
        expect(silence).to_be_visible(timeout=NOTICED_MS)
        expect(row_of(page, 2)).to_be_visible()
        silence.get_by_role("link", name=cluster.nodes[1].address).click()
        page.wait_for_url(f"{cluster.nodes[1].url}/#/overview*")
        expect(row_of(page, 2)).to_contain_text("live", timeout=NOTICED_MS)
        page.go_back()
    finally:
        cluster.nodes[0].start()
        cluster.nodes[0].wait_until_ready()


def test_the_page_recovers_by_itself_when_its_node_is_back(page: Page, cluster: Cluster) -> None:
    expect(row_of(page, 1)).to_contain_text("live")
    cluster.nodes[0].kill()
    silence = page.get_by_role("status").filter(has_text="has not answered for")
    try:
        page.keyboard.press("r")
        expect(silence).to_be_visible(timeout=NOTICED_MS)
    finally:
        cluster.nodes[0].start()
        cluster.nodes[0].wait_until_ready()
    expect(silence).to_have_count(0, timeout=60_000)
