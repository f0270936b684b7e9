"""`rangeland demo`: a whole cluster with load on this machine until Ctrl-C, and nothing of it afterwards.

What runs and how it ends is in engine/, imported late.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from rangeland.cli.settings import read_settings, takes_settings
from rangeland.errors import EngineError, RangelandError

if TYPE_CHECKING:
    from rangeland.engine.cluster import Cluster, Plan
    from rangeland.engine.workplace import Workplace

KIND = "demo"
LINK_S = 86400.0  # a day: who leaves a demo alone for longer has the password
WATCH_S = 0.5  # how soon it is told that a process has ended
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command("demo")
@takes_settings("demo")
def command(**flags: Any) -> None:
    """Run a PostgreSQL primary with two streaming standbys, a node beside each, and a light load.

    Everything listens on localhost and lives in one throw-away directory. Ctrl-C ends every process and
    removes every file. Kill a server or a node in the meantime, and see what the others say.
    """
    settings = read_settings("demo", flags)
    try:
        raise SystemExit(asyncio.run(_run_demo(settings)))
    except OSError as exc:
        raise EngineError(f"{exc.filename or 'the demo'}: {exc.strerror or exc}") from exc


async def _run_demo(settings: dict[str, Any]) -> int:
    """From nothing to nothing; the exit status is 0 when the demo was ready before it was told to stop."""
    from rangeland.engine.cluster import Cluster
    from rangeland.engine.workplace import Workplace, remove_leftovers

    stop = _stop_event()
    display = Display()
    plan = _plan(settings)
    plan.require_possible()
    data_dir, info_file = _path(settings["data_dir"]), _path(settings["info_file"])
    _require_writable(info_file)
    for removed in remove_leftovers(data_dir, kind=KIND):
        display.say(f"removed what a demo that was killed had left: {removed}")
    with Workplace(data_dir, kind=KIND) as workplace:
        cluster = Cluster(workplace, plan, step=display.step)
        with display:
            is_open = await _open(cluster, stop)
        if not is_open:
            display.say("stopped before it was ready")
            return 128 + signal.SIGINT
        console_url = await asyncio.to_thread(_console_url, cluster)
        _write_info(workplace, info_file, cluster, console_url)
        display.show(cluster, console_url)
        await _watch(cluster, stop, display)
        display.say("stopping ...")
        cluster.stop()
    return 0


def _plan(settings: dict[str, Any]) -> Plan:
    from rangeland.engine.cluster import Plan

    if not settings["no_load"] and settings["load"] < 1:
        raise EngineError(f"--load must be 1 transaction per second or more, not {settings['load']}: --no-load")
    return Plan(
        nodes=settings["nodes"],
        http_port=settings["http_port"],
        sql_port=settings["sql_port"],
        load_tps=0 if settings["no_load"] else settings["load"],
        insecure=settings["insecure"],
        pg_bin_dir=_path(settings["pg_bin_dir"]),
    )


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser().absolute() if text else None


def _require_writable(info_file: Path | None) -> None:
    """Raises: EngineError where the info file couldn't be written, before anything is made for nothing."""
    if info_file and (info_file.is_dir() or not os.access(info_file.parent, os.W_OK | os.X_OK)):
        raise EngineError(f"{info_file} can't be written: choose another --info-file")


def _stop_event() -> asyncio.Event:
    """Set by the first of the signals that end the demo; further ones change nothing."""
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _open(cluster: Cluster, stop: asyncio.Event) -> bool:
    """Open the cluster; False where it was told to stop before it was ready, with every process ended."""
    opening = asyncio.create_task(asyncio.to_thread(cluster.open))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not opening.done():
        cluster.stop()
        with suppress(RangelandError):
            await opening
        return False
    await opening
    return True


async def _watch(cluster: Cluster, stop: asyncio.Event, display: Display) -> None:
    """Tell which processes end, or come back, until the demo is told to stop. Nothing is restarted."""
    before = cluster.running()
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WATCH_S)
        now = cluster.running()
        for name in [name for name in now if before[name] and not now[name]]:
            display.say(f"{name} has ended")
        before = now


def _console_url(cluster: Cluster) -> str:
    """Where a browser finds the console: a link that logs in, once, within a day.

    The plain address where nobody has to log in, or where no session can be made just now.
    """
    from urllib.parse import quote as quote_url

    from rangeland.cli.asking import ask_node
    from rangeland.cluster.questions import LOG_USER_IN
    from rangeland.wire.members import SessionToMake

    node = cluster.nodes[0]
    if node.certs_dir is None:
        return f"{node.url}/"
    values = {"node_url": node.url, "certs_dir": str(node.certs_dir), "insecure": False}
    with suppress(RangelandError):  # somebody may be killing its parts already
        made = ask_node(values, LOG_USER_IN, SessionToMake(username=cluster.username, lifetime_s=LINK_S))
        return f"{node.url}/#/login?session={quote_url(made.token, safe='')}"
    return f"{node.url}/"


def _write_info(workplace: Workplace, path: Path | None, cluster: Cluster, console_url: str) -> None:
    """The info file, if one was asked for: it appears when all is ready and goes with the demo."""
    if path is None:
        return
    info = {
        "nodes": [
            {
                "node_id": node.node_id,
                "http_url": node.url,
                "sql_url": cluster.sql_url(node.server),
                "certs_dir": str(node.certs_dir) if node.certs_dir else None,
            }
            for node in cluster.nodes
        ],
        "username": cluster.username,
        "password": cluster.password,
        "ca_cert": str(cluster.ca_cert) if cluster.ca_cert else None,
        "console_url": console_url,
        "pid": os.getpid(),
    }
    workplace.write_outside(path, json.dumps(info, indent=2) + "\n")


class Display:
    """What the demo says: steps with spinners on a terminal, otherwise a line a step."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn

        self._begun = time.monotonic()
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
        elapsed = TextColumn("{task.elapsed:.1f} s", style="dim")
        columns = (SpinnerColumn(finished_text="[green]ok"), TextColumn("{task.description}"), elapsed)
        self._progress = Progress(*columns, console=self._console)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def say(self, text: str) -> None:
        """A line of its own, as it is."""
        click.echo(text)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step of the opening; several run at the same time, in threads."""
        begun = time.monotonic()
        task = self._progress.add_task(name, total=1)
        yield
        self._progress.update(task, completed=1)
        self._progress.stop_task(task)
        if not self._console.is_terminal:
            self.say(f"{name}: {time.monotonic() - begun:.1f} s")

    def show(self, cluster: Cluster, console_url: str) -> None:
        """All that a newcomer needs; nothing is wrapped, so that every line can be pasted."""
        self.say(f"\nReady after {time.monotonic() - self._begun:.1f} s.\n")
        self._show_nodes(cluster)
        self.say(f"\nCA certificate  {cluster.ca_cert or '(none: --insecure)'}")
        self.say(f"user            {cluster.username}, a member of admin\npassword        {cluster.password}\n")
        for line in _lines_to_paste(cluster):
            self.say(line)
        once = ", which logs in once" if "#" in console_url else ""
        self.say(f"\nOpen in a browser{once}: {console_url}")
        self.say("\nCtrl-C ends every process and removes every file.")

    def _show_nodes(self, cluster: Cluster) -> None:
        from rich.table import Table

        headings = ("node", "role", "API", "SQL", "node pid", "server pid")
        table = Table(*headings, box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for node in cluster.nodes:
            role = "primary" if node.server is cluster.servers[0] else "standby"
            sql = f"localhost:{node.server.port}"
            table.add_row(str(node.node_id), role, node.url, sql, str(node.pid), str(node.server.pid))
        self._console.print(table)


def _lines_to_paste(cluster: Cluster) -> list[str]:
    """Shell lines, in order: log in at the first node, ask others, log out, connect with psql."""
    first, last = cluster.nodes[0].url, cluster.nodes[-1].url
    curl = f"curl -sS --cacert {quote(str(cluster.ca_cert))}" if cluster.ca_cert else "curl -sS"
    login = f"-d {quote(f'username={cluster.username}&password={cluster.password}')}"
    form = "-H 'Content-Type: application/x-www-form-urlencoded'"
    header = ' -H "X-Cockroach-API-Session: $session"' if cluster.ca_cert else ""
    asked = ("nodes/", "sessions/", "ranges/hot/", "nodes/local/ranges/")
    lines = [f"{curl}{header} {last}/api/v2/{path}" for path in asked]
    if cluster.ca_cert:
        lines.insert(0, f"session=$({curl} {login} {form} {first}/api/v2/login/ | cut -d'\"' -f4)")
        lines.append(f"{curl}{header} -X POST {first}/api/v2/logout/")
    port, database = cluster.servers[0].port, cluster.database
    psql = f"psql -h localhost -p {port} -U {cluster.username} {database}"
    return [*lines, f"PGPASSWORD={quote(cluster.password)} {psql}"]
