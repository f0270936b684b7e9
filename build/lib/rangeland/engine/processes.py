"""Processes of the operating system: started so that they die with us, found by where they work, ended."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import psutil

from rangeland.engine.account import Account

END_TIMEOUT_S = 5.0  # for kill -9 to take effect
POLL_S = 0.02
PR_SET_PDEATHSIG = 1  # Source: linux/prctl.h
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # looked up before any fork

# The death signal is sent when the *thread* that forked ends: one that lives as long as we do forks all.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")


def spawn(
    argv: list[str | Path],
    *,
    directory: Path,
    env: Mapping[str, str],
    account: Account | None,
    death_signal: signal.Signals,
    output: IO[bytes] | int,
    errors: IO[bytes] | int,
) -> subprocess.Popen[bytes]:
    """Start a child that gets `death_signal` when we are gone, also by kill -9 (on Linux).

    It has a session of its own: a terminal's Ctrl-C reaches us only. `account` None: it runs as ourselves.
    Raises: OSError.
    """
    identity: dict[str, Any] = {}
    if account and account.is_other:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}

    def fork() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            umask=0o077,
            preexec_fn=_dying_with(os.getpid(), death_signal),  # noqa: PLW1509  # it takes no lock
            **identity,
        )

    return _forker.submit(fork).result()


def processes_inside(path: Path) -> Iterator[psutil.Process]:
    """Living processes of ours whose current directory is `path` or below, in no order.

    One with a terminal is a user's shell that looks around there: ours have none.
    """
    for process in psutil.process_iter():
        try:
            is_inside = Path(process.cwd()).is_relative_to(path) and process.terminal() is None
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if is_inside and is_alive(process) and process.pid != os.getpid():
            yield process


def kill_inside(path: Path, *, grace_s: float = 0.0) -> None:
    """Kill -9 what is still inside `path` after the grace, stopped processes too; return once it is gone."""
    patience = time.monotonic() + grace_s
    while time.monotonic() < patience and any(processes_inside(path)):
        time.sleep(POLL_S)
    deadline = time.monotonic() + END_TIMEOUT_S
    while (found := list(processes_inside(path))) and time.monotonic() < deadline:
        kill_all(found)


def kill_all(processes: list[psutil.Process]) -> None:
    """Kill -9 all of them; return once they are gone or only wait to be reaped."""
    send_all(processes, signal.SIGKILL)
    deadline = time.monotonic() + END_TIMEOUT_S
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def send_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each in order; one that has gone is passed over."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def family_of(process: subprocess.Popen[bytes] | None) -> list[psutil.Process]:
    """A child of ours and all that descend from it, itself first; empty where it has ended."""
    if process is None or process.poll() is not None:
        return []
    try:
        head = psutil.Process(process.pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs or is stopped; a dead one that nobody has reaped yet is not alive."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _dying_with(parent_pid: int, death_signal: signal.Signals) -> Callable[[], None]:
    """What a child does between fork and exec, after setuid, which would clear the death signal again."""

    def prepare() -> None:
        if _prctl:
            _prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent_pid:  # the parent died before the signal was set
            os._exit(1)

    return prepare
