"""How fast is the console in a browser? Its first view, and what a refresh of a thousand sessions costs the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, CDPSession, expect

from bench.line import Findings, Line
from bench.scene import Ready, Scene, idle_sessions
from bench.timing import median
from fix_browser import CHROMIUM, Window, running_browser, window
from fix_cluster import wait_until

SESSIONS = 1000
NODES = 3
MAX_FIRST_VIEW_MS = 1000.0
MAX_SCRIPTING_MS = 50.0
VIEW = "Console: first view"
REFRESH = f"Console: a refresh of {SESSIONS:,} sessions"
NEEDS_CHROMIUM = "chromium is not installed"


def measure(scene: Scene) -> Findings:
    """Without chromium both are left out."""
    if not CHROMIUM.exists():
        yield Line(VIEW, f"≤ {MAX_FIRST_VIEW_MS:g} ms", "", "", None, NEEDS_CHROMIUM)
        yield Line(REFRESH, f"≤ {MAX_SCRIPTING_MS:g} ms of scripting", "", "", None, NEEDS_CHROMIUM)
        return
    count = scene.pick(SESSIONS, 5)
    with scene.cluster(scene.pick(NODES, 1), connections=count) as ready, running_browser(ready.cluster) as browser:
        yield _first_view(scene, ready, browser)
        with idle_sessions(ready.primary, count):
            yield _refresh(scene, ready, browser, count)


def _first_view(scene: Scene, ready: Ready, browser: Browser) -> Line:
    """From the address to the figures of all nodes, with nothing in the browser's cache."""
    views = [_view(ready, browser) for _ in range(scene.pick(11, 1))]
    view_ms = median([milliseconds for milliseconds, _ in views])
    size_bytes = max(size for _, size in views)
    return Line(
        VIEW,
        f"≤ {MAX_FIRST_VIEW_MS:g} ms, nothing cached",
        f"{view_ms:.0f} ms, {size_bytes / 1000:.0f} kB compressed, answers and headers included",
        "",
        view_ms <= MAX_FIRST_VIEW_MS,
    )


def _view(ready: Ready, browser: Browser) -> tuple[float, float]:
    """In ms, by the page's own clock, and in bytes."""
    with _open_window(ready, browser) as (tab, session):
        session.send("Network.enable")
        sizes: list[float] = []
        session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        nodes = ready.cluster.plan.nodes
        tab.page.add_init_script(_MARK_WHEN_WHOLE.format(nodes=nodes))
        page = tab.open("overview")
        expect(page.locator("table.nodes tbody tr")).to_have_count(nodes)
        return float(page.evaluate("performance.getEntriesByName('whole')[0].startTime")), sum(sizes)


_MARK_WHEN_WHOLE = """
new MutationObserver((_, watcher) => {{
  if (document.querySelectorAll("table.nodes tbody tr").length !== {nodes}) return;
  performance.mark("whole");
  watcher.disconnect();
}}).observe(document, {{ childList: true, subtree: true }});
"""


def _refresh(scene: Scene, ready: Ready, browser: Browser, count: int) -> Line:
    """Scripting only: what the page does with an answer until the next frame is drawn."""
    with _open_window(ready, browser) as (tab, session):
        page = tab.open("sessions")
        table = page.get_by_role("table", name="Sessions")
        wait_until(lambda: int(table.get_attribute("aria-rowcount") or 0) > count, "all sessions are there")
        session.send("Performance.enable")
        scripting_ms = []
        for _ in range(scene.pick(21, 2)):
            before = _scripting_s(session)
            with page.expect_response(lambda answer: "/api/v2/sessions/" in answer.url) as coming:
                page.keyboard.press("r")
            coming.value.finished()
            page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
            scripting_ms.append((_scripting_s(session) - before) * 1000)
    return Line(
        REFRESH,
        f"≤ {MAX_SCRIPTING_MS:g} ms of scripting",
        f"{median(scripting_ms):.1f} ms, at most {max(scripting_ms):.1f} ms",
        "",
        median(scripting_ms) <= MAX_SCRIPTING_MS,
    )


@contextmanager
def _open_window(ready: Ready, browser: Browser) -> Iterator[tuple[Window, CDPSession]]:
    with window(browser, ready.cluster) as tab:
        tab.hold(ready.token)
        yield tab, tab.context.new_cdp_session(tab.page)


def _scripting_s(session: CDPSession) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "ScriptDuration"))
