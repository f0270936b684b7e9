"""`rangeland demo`, as its user sees it: a process with a screen, a keyboard and a directory."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

import rangeland
from fix_cluster import Api, free_ports
from rangeland.engine.account import server_account

READY_S = 40.0  # 3 s on two idle cores
END_S = 10.0
WATCHED = ("RANGELAND_", "PG")


class Demo:
    """A running `rangeland demo` in a session of its own, below a directory with a space in its name."""

    def __init__(self, place: Path, *flags: str, python: tuple[str, ...] = (sys.executable,), **more: str) -> None:
        self.place = place
        self.info_file = place / "info.json"
        self.log = place / f"log {random.randrange(10**9)}"
        http_port, sql_port = free_block(20000), free_block(26000)
        command = [*python, "-m", "rangeland", "demo", f"--data-dir={place / 'data dir'}"]
        ports = [f"--http-port={http_port}", f"--sql-port={sql_port}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *ports, f"--info-file={self.info_file}", *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_environment() | more,
            )

    @property
    def screen(self) -> str:
        return self.log.read_text("utf-8")

    def wait_until_ready(self) -> dict[str, Any]:
        """What the info file says once it is there."""
        deadline = time.monotonic() + READY_S
        while not self.info_file.exists():
            assert self.process.poll() is None, self.screen
            assert time.monotonic() < deadline, self.screen
            time.sleep(0.05)
        info: dict[str, Any] = json.loads(self.info_file.read_text("utf-8"))
        return info

    def wait_until_shown(self, text: str) -> None:
        deadline = time.monotonic() + READY_S
        while text not in self.screen:
            assert time.monotonic() < deadline, self.screen
            time.sleep(0.02)

    def press_ctrl_c(self) -> int:
        """The exit status. A terminal sends SIGINT to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(END_S)

    def processes(self) -> list[psutil.Process]:
        """What works in the demo's directory."""
        found = []
        for process in psutil.process_iter():
            try:
                is_alive = process.status() != psutil.STATUS_ZOMBIE
                if is_alive and Path(process.cwd()).is_relative_to(self.place):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def left(self) -> list[str]:
        """What is there beside the log."""
        return [path.name for path in self.place.iterdir() if path != self.log]


@contextmanager
def running(place: Path, *flags: str, **more: Any) -> Iterator[Demo]:
    demo = Demo(place, *flags, **more)
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.terminate()
            demo.process.wait(END_S)
        for process in demo.processes():
            process.kill()


def test_the_lines_on_the_screen_can_be_pasted_and_ctrl_c_leaves_nothing(open_path: Path) -> None:
    with running(open_path) as demo:
        info = demo.wait_until_ready()
        demo.wait_until_shown("Ctrl-C ends")
        pasted = re.findall(r"^(?:session=|curl |PGPASSWORD=).*$", demo.screen, re.MULTILINE)
        pasted[-1] += " -tAc 'SELECT current_user'"
        answers = _paste(["set -e", *pasted]).splitlines()
        assert [len(json.loads(answers[0])["nodes"]), answers[-1]] == [3, "demo"]
        assert json.loads(answers[-2]) == {"logged_out": True}
        assert info["ca_cert"] in demo.screen
        assert len(demo.processes()) > 6
        assert demo.press_ctrl_c() == 0
        assert demo.processes() == []
        assert demo.left() == []


def test_the_info_file_tells_a_program_what_it_needs(open_path: Path) -> None:
    with running(open_path, "--nodes=2") as demo:
        info = demo.wait_until_ready()
        assert stat.S_IMODE(demo.info_file.stat().st_mode) == 0o600
        assert sorted(node["node_id"] for node in info["nodes"]) == [1, 2]
        assert info["pid"] == demo.process.pid
        for node in info["nodes"]:
            assert (Path(node["certs_dir"]) / "cluster.key").is_file()
            with psycopg.connect(node["sql_url"]) as connection:
                query = "SELECT session_user, pg_has_role('admin', 'USAGE'), count(*) > 0 FROM pgbench_accounts"
                assert connection.execute(query.encode()).fetchone() == ("demo", True, True)


def test_the_link_for_a_browser_logs_in_once(open_path: Path) -> None:
    with running(open_path, "--nodes=2", "--no-load") as demo:
        info = demo.wait_until_ready()
        demo.wait_until_shown("Ctrl-C ends")
        assert f"\nOpen in a browser, which logs in once: {info['console_url']}\n" in demo.screen
        page, _, query = info["console_url"].partition("#/login?")
        assert page == f"{info['nodes'][0]['http_url']}/"
        api = Api(info["nodes"][1]["http_url"], Path(info["ca_cert"]))
        answers = [api.request("POST", "login/", token="cookie", body=query) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 401]
        cookie = answers[0].headers["set-cookie"].partition(";")[0]
        told = api.get("whoami/", "cookie", headers={"Cookie": cookie}).json
        left = datetime.fromisoformat(told["expires_at"]) - datetime.now(UTC)
        assert (told["username"], told["is_admin"]) == ("demo", True)
        assert timedelta(hours=23) < left <= timedelta(hours=24)
        assert demo.press_ctrl_c() == 0


def test_no_password_is_in_a_process_title_or_a_file_of_others(open_path: Path) -> None:
    with running(open_path, "--nodes=2") as demo:
        info = demo.wait_until_ready()
        titles = [" ".join(process.cmdline()) for process in psutil.process_iter() if _is_readable(process)]
        secrets = {info["password"], *_passwords_in(open_path)}
        assert len(secrets) == 4  # of demo, pgbench, the replicator and the nodes; the superuser's is in no file
        assert [title for title in titles if any(secret in title for secret in secrets)] == []
        readable = [path for path in open_path.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
        readable.remove(demo.log)
        texts = [path.read_bytes() for path in readable]
        assert not any(secret.encode() in text for text in texts for secret in secrets)


def test_after_kill_9_no_process_remains_and_the_next_demo_removes_the_files(open_path: Path) -> None:
    with running(open_path, "--nodes=2") as demo:
        demo.wait_until_ready()
        demo.process.kill()
        demo.process.wait()
        _wait_until(lambda: demo.processes() == [], timeout_s=2.0)
        [left] = (open_path / "data dir").iterdir()
        with running(open_path, "--nodes=1", "--no-load") as second:
            second.wait_until_shown("had left")
            second.wait_until_ready()
            assert not left.exists()


@pytest.mark.parametrize("delay_s", [0.3, 0.8, 1.3])
def test_sigterm_before_it_is_ready_leaves_nothing(open_path: Path, delay_s: float) -> None:
    with running(open_path) as demo:
        time.sleep(delay_s)
        demo.process.terminate()
        assert demo.process.wait(END_S) != 0
        assert "Traceback" not in demo.screen
        assert demo.processes() == []
        assert demo.left() == []


def test_paused_and_killed_parts_do_not_delay_the_end(open_path: Path) -> None:
    with running(open_path) as demo:
        demo.wait_until_ready()
        node, server = _pids(demo)[1]
        os.kill(node, signal.SIGSTOP)
        for process in [psutil.Process(server), *psutil.Process(server).children()]:
            process.suspend()
        os.kill(_pids(demo)[2][1], signal.SIGKILL)
        demo.wait_until_shown("server3 has ended")
        assert demo.press_ctrl_c() == 0
        assert demo.processes() == []
        assert demo.left() == []


def test_the_load_goes_on_after_a_promotion(open_path: Path) -> None:
    with running(open_path, "--nodes=2") as demo:
        info = demo.wait_until_ready()
        os.kill(_pids(demo)[0][1], signal.SIGKILL)
        data_dir = next((open_path / "data dir").glob("*/server2/data"))
        (data_dir / "promote").touch()
        os.kill(_pids(demo)[1][1], signal.SIGUSR1)
        with psycopg.connect(info["nodes"][1]["sql_url"], autocommit=True) as connection:
            query = b"SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'pgbench'"
            _wait_until(lambda: connection.execute(query).fetchone() == (True,), timeout_s=15)


def test_two_demos_run_side_by_side(open_path: Path) -> None:
    with ExitStack() as stack:
        places = [open_path / name for name in ("one", "two")]
        for place in places:
            place.mkdir()
        demos = [stack.enter_context(running(place, "--nodes=1")) for place in places]
        assert len({demo.wait_until_ready()["nodes"][0]["http_url"] for demo in demos}) == 2
        assert [demo.press_ctrl_c() for demo in demos] == [0, 0]


def test_insecure_needs_no_login(open_path: Path) -> None:
    with running(open_path, "--nodes=1", "--insecure", "--no-load") as demo:
        info = demo.wait_until_ready()
        demo.wait_until_shown("Ctrl-C ends")
        assert info["ca_cert"] is None
        assert info["nodes"][0]["http_url"].startswith("http://")
        assert info["console_url"] == f"{info['nodes'][0]['http_url']}/"
        assert f"\nOpen in a browser: {info['console_url']}\n" in demo.screen
        lines = re.findall(r"^curl .*/nodes/$", demo.screen, re.MULTILINE)
        assert len(json.loads(_paste(lines))["nodes"]) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_with_an_unusual_home_can_run_it(open_path: Path) -> None:
    os.chown(open_path, 65534, 65534)
    (home := open_path / "home of 'nobody'").mkdir(mode=0o700)
    os.chown(home, 65534, 65534)
    become = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    python = (*become, _python_for_everybody(open_path))
    left = [path.name for path in open_path.iterdir()]
    with running(open_path, "--nodes=2", python=python, HOME=str(home), PGPASSWORD="x", PGPORT="1") as demo:
        demo.wait_until_ready()
        assert {process.uids().real for process in demo.processes()} == {65534}
        assert demo.press_ctrl_c() == 0
        assert demo.left() == left


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--http-port=70000"], "port 70000 does not exist: choose others with --http-port"),
        (["--http-port=20000", "--sql-port=20002"], "too close"),
        (["--nodes=0"], "--nodes must be from 1 to 26, not 0"),
        (["--nodes=many"], "--nodes must be a whole number"),
        (["--load=0"], "--load must be 1 transaction per second or more"),
        (["--pg-bin-dir=/nowhere"], "/nowhere has no initdb"),
        (["--data-dir=/proc/here"], "/proc/here can't be made"),
        (["--data-dir=/dev/null"], "/dev/null: no directory can be made in it: Not a directory"),
        (["--info-file=/nowhere/info"], "/nowhere/info can't be written"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(open_path: Path, flags: list[str], complaint: str) -> None:
    with running(open_path, *flags) as demo:
        assert demo.process.wait(END_S) == 1
        assert re.fullmatch(rf"ERROR: .*{re.escape(complaint)}.*\n", demo.screen)
        assert demo.left() == []


@pytest.mark.parametrize("flag", ["--http-port", "--sql-port"])
def test_a_taken_port_is_one_line_and_leaves_nothing(open_path: Path, flag: str) -> None:
    """Of the second node: the first one's could be used."""
    port = free_block(20000)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 1))
        taken.listen()
        with running(open_path, f"{flag}={port}") as demo:
            assert demo.process.wait(END_S) == 1
            assert re.fullmatch(rf"ERROR: port {port + 1} .*in use.*{flag}\n", demo.screen)
            assert demo.left() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_is_one_line_and_leaves_nothing(open_path: Path) -> None:
    (small := open_path / "small").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "none", small]).returncode:
        pytest.skip("this machine lets root mount nothing")
    try:
        with running(open_path, f"--data-dir={small}") as demo:
            assert demo.process.wait(END_S) == 1
            assert re.fullmatch(r"ERROR: .* has \d+ MB of free disk, 768 MB are needed.*\n", demo.screen)
            assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def free_block(lowest: int) -> int:
    """The first of 26 loopback ports in a row, of the 6,000 from `lowest`, that nobody used a moment ago."""
    return free_ports(26, among=range(lowest, lowest + 6000))


def _python_for_everybody(place: Path) -> str:
    """A Python that has our packages and that an ordinary user can run; ours may be below /root."""
    if server_account().may_run(Path(sys.executable)):
        return sys.executable
    shared = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    if not shared.exists():
        pytest.skip(f"an ordinary user can run neither {sys.executable} nor {shared}")
    subprocess.run([shared, "-m", "venv", "--without-pip", place / "venv"], check=True)
    [packages] = (place / "venv/lib").glob("python*/site-packages")
    ours = [Path(rangeland.__file__).parents[1], Path(psycopg.__file__).parents[1]]
    (packages / "ours.pth").write_text("".join(f"{path}\n" for path in ours))
    return str(place / "venv/bin/python")


def _environment() -> dict[str, str]:
    """Ours without what would set up the demo differently."""
    return {name: value for name, value in os.environ.items() if not name.startswith(WATCHED)}


def _paste(lines: list[str]) -> str:
    """What a shell prints that is given these lines; answers of curl, which end without a line end, get one."""
    script = "\n".join(line.replace("curl -sS", r"curl -sS -w '\n'") for line in lines)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _pids(demo: Demo) -> list[tuple[int, int]]:
    """Node and server of each line of the table, in its order."""
    demo.wait_until_shown("Ctrl-C ends")
    rows = re.findall(r"https?://localhost:\d+ .* (\d+) +(\d+) *$", demo.screen, re.MULTILINE)
    return [(int(node), int(server)) for node, server in rows]


def _passwords_in(place: Path) -> list[str]:
    """Those in password files and in the nodes' settings."""
    passfiles = [path.read_text() for path in place.rglob("passfile")]
    urls = [path.read_text() for path in place.rglob("rangeland.toml")]
    return re.findall(r":([^:\n]+)$", "".join(passfiles), re.MULTILINE) + re.findall(r"//\w+:([^@]+)@", "".join(urls))


def _is_readable(process: psutil.Process) -> bool:
    try:
        process.cmdline()
    except psutil.Error:
        return False
    return True


def _wait_until(is_so: Any, *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)
