"""From the hottest table to its copies, and from the list of databases to one table of it."""

from __future__ import annotations

import psycopg
import pytest
from playwright.sync_api import Page, expect

from fix_browser import Window, needs_chromium
from rangeland.engine.cluster import Cluster
from rangeland.engine.load import NAME as DATABASE

pytestmark = needs_chromium

SAMPLED_MS = 45_000  # the sampler looks every ten seconds, and the page likewise
HOTTEST = "pgbench_accounts"


@pytest.fixture
def tab_of_reader(tab: Window) -> Window:
    tab.log_in()
    return tab


def test_the_hot_range_leads_to_its_parts_and_its_copies(tab_of_reader: Window) -> None:
    page = tab_of_reader.open("hot-ranges")
    row = page.get_by_role("table", name="Hot ranges").get_by_role("row").filter(has_text=HOTTEST).first
    expect(row).to_be_visible(timeout=SAMPLED_MS)
    row.get_by_role("link", name=HOTTEST).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOTTEST)
    copies = page.get_by_role("group", name="Copies").get_by_role("row")
    expect(copies).to_have_count(1 + 3)
    expect(copies.filter(has_text="node 1")).to_contain_text("primary")
    for node in (2, 3):
        expect(copies.filter(has_text=f"node {node}")).to_contain_text("standby")
    expect(page.get_by_role("region", name="What it takes on disk")).to_contain_text("indexes")
    expect(page.get_by_role("group", name="Indexes")).to_contain_text(f"{HOTTEST}_pkey")


def test_the_order_is_in_the_address(tab_of_reader: Window) -> None:
    page = tab_of_reader.open("hot-ranges")
    page.get_by_label("Ordered by").select_option("writes")
    assert "by=writes" in page.url
    page.reload()
    expect(page.get_by_label("Ordered by")).to_have_value("writes")


def test_a_database_leads_to_its_tables_and_a_table_to_its_indexes(tab_of_reader: Window) -> None:
    page: Page = tab_of_reader.open("databases")
    page.get_by_role("table", name="Databases").get_by_role("link", name=DATABASE).click()
    table = page.get_by_role("table", name=f"Tables of {DATABASE}")
    table.get_by_role("link", name=f"public.{HOTTEST}", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"public.{HOTTEST}")
    expect(page.get_by_role("group", name="Columns")).to_contain_text("abalance")
    expect(page.get_by_role("group", name="Indexes")).to_contain_text("aid")
    expect(page.get_by_role("region", name="Create statement")).to_contain_text(f"CREATE TABLE public.{HOTTEST}")


def test_an_index_that_no_node_ever_used_is_marked_and_one_that_is_used_is_not(
    tab_of_reader: Window, cluster: Cluster
) -> None:
    with psycopg.connect(cluster.servers[0].conninfo(DATABASE), autocommit=True) as connection:
        connection.execute("CREATE INDEX nobody_asked ON pgbench_accounts (filler)")
        try:
            page = tab_of_reader.open(f"databases/{DATABASE}/public.{HOTTEST}")
            rows = page.get_by_role("group", name="Indexes").get_by_role("row")
            expect(rows.filter(has_text="nobody_asked")).to_contain_text("used on no node", timeout=SAMPLED_MS)
            expect(rows.filter(has_text=f"{HOTTEST}_pkey")).not_to_contain_text("used on no node")
        finally:
            connection.execute("DROP INDEX nobody_asked")
