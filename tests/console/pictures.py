"""`make pictures`: every page of the console, photographed on a live cluster in which something happens.

A blocked session, a hot table and some minutes of history are what makes pages worth a look. The pictures are in
docs/pictures/, shown by docs/howto/console.md: each page in light and dark, wide and narrow.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from fix_browser import NARROW, PATIENCE_MS, WIDE, running_browser, window
from fix_cluster import apis_of, log_in, running_cluster
from fix_scene import TABLE, range_id_of, scene
from rangeland.engine.cluster import Cluster
from rangeland.engine.load import NAME as DATABASE

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SHAPES = {"wide": (WIDE, 800), "narrow": (NARROW, 844)}
SCHEMES = ("light", "dark")
LOAD_TPS = 40
HOTTEST = "public.pgbench_accounts"
# The picture's name, the page's address, and what is on it once it is whole.
PAGES = {
    "login": ("", "Log in"),
    "overview": ("overview", "node 3"),
    "sessions": ("sessions", "UPDATE sales.orders"),
    "blocked": ("sessions?view=blocked", "1 waits"),
    "hot-ranges": ("hot-ranges?q=pgbench", "pgbench_accounts"),
    "range": ("ranges/{range_id}", "pgbench_accounts_pkey"),
    "databases": (f"databases/{DATABASE}", "pgbench_history"),
    "table": (f"databases/{DATABASE}/{TABLE}", "orders_by_customer"),
    "events": ("events", "logged in"),
    "charts": ("charts?span=15m", "Transactions"),
}


def main() -> int:
    """Nothing but the pictures is left; the exit status is that of success."""
    parser = argparse.ArgumentParser(prog="python -m console.pictures", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how much history the charts shall have")
    minutes = parser.parse_args().minutes
    PICTURES.mkdir(exist_ok=True)
    with running_cluster(3, load_tps=LOAD_TPS) as cluster, _life(cluster) as token:
        print(f"living for {minutes:g} minutes", flush=True)
        _live(cluster, token, minutes * 60)
        range_id = range_id_of(apis_of(cluster)[0], token, HOTTEST)
        with running_browser(cluster) as browser:
            for path in _take_all(browser, cluster, token, range_id):
                print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)
    return 0


@contextmanager
def _life(cluster: Cluster) -> Iterator[str]:
    """A blocked session and tables of several kinds while the block runs; the token of an admin."""
    api = apis_of(cluster)[0]
    token = log_in(cluster, api, cluster.username)
    with scene(cluster, api, token):
        yield token


def _live(cluster: Cluster, token: str, seconds: float) -> None:
    """Every node is asked now and then, so that hot ranges are sampled and have a history."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for api in apis_of(cluster):
            api.get("ranges/hot/", token)
        time.sleep(5)


def _take_all(browser: Browser, cluster: Cluster, token: str, range_id: int) -> Iterator[Path]:
    for shape, (width, height) in SHAPES.items():
        with ExitStack() as stack:
            outside, inside = (
                stack.enter_context(window(browser, cluster, width=width, height=height)) for _ in "ab"
            )
            inside.hold(token)
            for name, (fragment, text) in PAGES.items():
                page = (outside if name == "login" else inside).open(fragment.format(range_id=range_id))
                expect(page.locator("main").get_by_text(text).locator("visible=true").first).to_be_visible(
                    timeout=PATIENCE_MS
                )
                page.wait_for_load_state("networkidle")  # what it asked for once it knew more
                for scheme in SCHEMES:
                    yield _take(page, scheme, PICTURES / f"{name}-{scheme}-{shape}.png")


def _take(page: Page, scheme: str, path: Path) -> Path:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.wait_for_timeout(300)  # charts are drawn anew in other colours
    page.screenshot(path=path, animations="disabled", caret="hide")
    return path


if __name__ == "__main__":
    sys.exit(main())
