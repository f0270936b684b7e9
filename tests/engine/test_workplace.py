"""A throw-away directory and its processes."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from rangeland.engine.workplace import Workplace, first_complaint, remove_leftovers
from rangeland.errors import EngineError

SLEEP: list[str | Path] = ["sleep", "60"]

# A process that makes a workplace with a sleeping child of each kind, and waits to be killed.
OWNER = """
import json, subprocess, sys, time
from pathlib import Path
from rangeland.engine.workplace import Workplace
place = Workplace(Path(sys.argv[1]), kind="test")
place.write_outside(Path(sys.argv[1]) / "outside.json", "{}")
children = [place.start(["sleep", "60"], directory=place.path, as_server=s) for s in (True, False)]
print(json.dumps({"path": str(place.path), "pids": [child.pid for child in children]}), flush=True)
time.sleep(60)
"""


def test_closing_ends_its_processes_and_removes_its_files(open_path: Path) -> None:
    with Workplace(open_path) as place:
        child = place.start(SLEEP, directory=place.make_directory("inside"))
        place.write_outside(open_path / "info.json", "{}")
    assert child.poll() == -signal.SIGKILL
    assert list(open_path.iterdir()) == []


def test_closing_ends_children_of_children(open_path: Path) -> None:
    with Workplace(open_path) as place:
        script = "setsid sleep 60 & echo $! > pid; wait"
        place.start(["sh", "-c", script], directory=place.path)
        _wait_until_file(place.path / "pid")
        grandchild = psutil.Process(int((place.path / "pid").read_text()))
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_closing_ends_a_stopped_process(open_path: Path) -> None:
    with Workplace(open_path) as place:
        child = place.start(SLEEP, directory=place.path)
        child.send_signal(signal.SIGSTOP)
    assert child.poll() == -signal.SIGKILL


def test_a_closed_one_starts_nothing(open_path: Path) -> None:
    with Workplace(open_path) as place:
        pass
    with pytest.raises(EngineError, match="we are stopping"):
        place.start(SLEEP, directory=open_path)


def test_a_killed_owner_takes_its_children_along(open_path: Path) -> None:
    with _owner(open_path) as (owner, told):
        owner.kill()
        owner.wait()
        _wait_until_gone(told["pids"], timeout_s=2.0)


def test_what_a_killed_owner_left_is_removed_by_the_next(open_path: Path) -> None:
    with _owner(open_path) as (owner, told):
        owner.kill()
        owner.wait()
    assert Path(told["path"]).is_dir()
    assert remove_leftovers(open_path, kind="test") == [Path(told["path"])]
    assert list(open_path.iterdir()) == []


def test_what_a_living_owner_uses_is_left_alone(open_path: Path) -> None:
    with _owner(open_path) as (_, told):
        assert remove_leftovers(open_path, kind="test") == []
        assert Path(told["path"]).is_dir()
        assert all(psutil.pid_exists(pid) for pid in told["pids"])


def test_leftovers_of_another_kind_are_left_alone(open_path: Path) -> None:
    with _owner(open_path) as (owner, told):
        owner.kill()
        owner.wait()
    assert remove_leftovers(open_path, kind="demo") == []
    assert Path(told["path"]).is_dir()


def test_a_file_that_has_replaced_the_one_outside_stays(open_path: Path) -> None:
    outside = open_path / "info.json"
    with Workplace(open_path) as place:
        place.write_outside(outside, "ours")
        (open_path / "other").write_text("theirs")
        os.replace(open_path / "other", outside)
    assert outside.read_text() == "theirs"


def test_a_file_outside_is_readable_by_its_owner_only(open_path: Path) -> None:
    with Workplace(open_path) as place:
        place.write_outside(open_path / "info.json", "{}")
        assert stat.S_IMODE((open_path / "info.json").stat().st_mode) == 0o600


def test_a_file_is_secret_even_where_it_was_not_before(open_path: Path) -> None:
    with Workplace(open_path) as place:
        path = place.path / "secret"
        path.write_text("old")
        path.chmod(0o644)
        place.write_file(path, "new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_parent_that_was_made_goes_with_it(open_path: Path) -> None:
    with Workplace(open_path / "new"):
        assert (open_path / "new").is_dir()
    assert not (open_path / "new").exists()


def test_a_parent_that_cannot_be_made_or_written_is_refused(open_path: Path) -> None:
    (open_path / "file").write_text("")
    for impossible in (open_path / "file", Path("/proc/here"), open_path / "a" / "b"):
        with pytest.raises(EngineError, match=str(impossible)):
            Workplace(impossible)
    assert [path.name for path in open_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root do the servers run as somebody else")
def test_a_parent_that_the_servers_cannot_enter_is_refused(open_path: Path) -> None:
    open_path.chmod(0o700)
    with pytest.raises(EngineError, match="can't enter it"):
        Workplace(open_path)


def test_children_do_not_inherit_the_environment(open_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "somebody's")
    with Workplace(open_path) as place:
        assert "PGPASSWORD" not in place.run(["env"], directory=place.path)


def test_ctrl_c_in_the_terminal_does_not_reach_children(open_path: Path) -> None:
    with Workplace(open_path) as place:
        child = place.start(SLEEP, directory=place.path)
        assert os.getpgid(child.pid) == child.pid


def test_a_failing_tool_is_reported_with_its_own_words(open_path: Path) -> None:
    script = "echo 'tool: detail: something' >&2; echo 'tool: error: no space left' >&2; exit 1"
    with Workplace(open_path) as place, pytest.raises(EngineError, match=r"^sh failed: no space left$"):
        place.run(["sh", "-c", script], directory=place.path)


@pytest.mark.parametrize(
    ("errors", "complaint"),
    [
        ("LOG:  starting\n2026-01-01 FATAL:  no lock file\nLOG: end\n", "no lock file"),
        ("first\nlast\n", "last"),
        ("", "it said nothing"),
    ],
)
def test_the_first_complaint_is_found(errors: str, complaint: str) -> None:
    assert first_complaint(errors) == complaint


@contextmanager
def _owner(open_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A living process that owns a workplace below `parent`, and what it told about it."""
    argv = [sys.executable, "-c", OWNER, str(open_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            yield owner, json.loads(owner.stdout.readline())
        finally:
            owner.kill()


def _wait_until_file(path: Path) -> None:
    deadline = time.monotonic() + 5
    while not (path.is_file() and path.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _wait_until_gone(pids: object, *, timeout_s: float) -> None:
    assert isinstance(pids, list)
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout_s)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
