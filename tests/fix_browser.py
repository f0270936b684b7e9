"""A headless Chromium, Debian's, in which the console is opened as people do; nothing of it is ever mocked.

A browser lives as long as its module's tests: while it runs, so does an event loop in this thread, which other
modules have use for. It trusts the certificates of the module's `cluster` and no others.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, sync_playwright

from fix_cluster import Api, log_in
from rangeland.engine.cluster import Cluster
from rangeland.tls import NODE_CERT

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 15_000  # a page asks again every 5 s
AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
WIDE, NARROW = 1280, 390
HEIGHT = 800

needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="chromium is not installed (Debian: apt-get install chromium)"
)


class Window:
    """One tab of somebody who has logged in nowhere yet. What it complains of is kept, in order."""

    def __init__(self, context: BrowserContext, cluster: Cluster) -> None:
        self.context = context
        self.cluster = cluster
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("console", self._hear)
        self.page.on("response", self._look_at)

    def open(self, fragment: str = "", *, node: int = 1) -> Page:
        """The console of that node, at a page of it: `sessions?state=active`."""
        self.page.goto(f"{self.cluster.nodes[node - 1].url}/{f'#/{fragment}' if fragment else ''}")
        return self.page

    def log_in(self, username: str | None = None) -> None:
        """Hold the cookie of a session, as after logging in. Every node's console has it: a cookie knows no ports."""
        token = log_in(
            self.cluster, Api(self.cluster.nodes[0].url, self.cluster.ca_cert), username or self.cluster.username
        )
        self.hold(token)

    def hold(self, token: str) -> None:
        """Hold this session."""
        self.context.add_cookies(
            [
                {
                    "name": "session",
                    "value": token,
                    "domain": "localhost",
                    "path": "/",
                    "httpOnly": True,
                    "secure": True,
                    "sameSite": "Strict",
                }
            ]
        )

    def fill_login(self, username: str, password: str) -> None:
        """Type both and send them."""
        self.page.get_by_label("PostgreSQL role").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in", exact=True).click()

    def require_accessible(self) -> None:
        """Fails where axe finds a serious or critical issue in what is on the screen, in light or in dark."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            found = _serious(self.page)
            assert found == [], f"{self.page.url}, {scheme}"

    def require_no_sideways_scrolling(self) -> None:
        """Fails where the page is wider than the window."""
        width, room = self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert width <= room, f"{self.page.url} is {width} px wide in {room} px"

    def _hear(self, message: ConsoleMessage) -> None:
        # A status that isn't 200 is an error to the browser and an answer to the page: tests look at what it shows.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _look_at(self, response: Response) -> None:
        if "/api/" not in response.url and response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")


def _serious(page: Page) -> list[str]:
    """Each as the rule, what is wrong, and the elements."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['help']}: {[node['html'] for node in each['nodes']]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@contextmanager
def running_browser(cluster: Cluster) -> Iterator[Browser]:
    """Trusts the certificates of that cluster's nodes; ended when the block is left."""
    trusted = ",".join(_pin(node.certs_dir / NODE_CERT) for node in cluster.nodes if node.certs_dir)
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--ignore-certificate-errors-spki-list={trusted}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def window(browser: Browser, cluster: Cluster, *, width: int = WIDE, height: int = HEIGHT) -> Iterator[Window]:
    """A window with cookies of its own; fails at its end where the browser had something to complain of."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",  # what is measured of a page isn't half-way between two colours
    )
    context.set_default_timeout(PATIENCE_MS)
    try:
        made = Window(context, cluster)
        yield made
        assert made.complaints == []
    finally:
        context.close()


@cache
def _pin(certificate: Path) -> str:
    """The hash of its public key, as Chromium takes it."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    digest = Hash(SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return base64.b64encode(digest.finalize()).decode()


@pytest.fixture(scope="module")
def browser(cluster: Cluster) -> Iterator[Browser]:
    """For the module's `cluster`, also one of its own."""
    with running_browser(cluster) as made:
        yield made


@pytest.fixture
def tab(browser: Browser, cluster: Cluster) -> Iterator[Window]:
    """A wide window in which nobody is logged in."""
    with window(browser, cluster) as made:
        yield made
