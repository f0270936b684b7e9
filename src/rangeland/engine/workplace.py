"""A throw-away directory with all processes that work in it: closing it ends them and removes every file.

Every child gets the signal to die by when this process is gone (Linux), so that not even kill -9 leaves one.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import psutil

from rangeland.engine.account import Account, server_account
from rangeland.errors import EngineError

PREFIX = "rangeland-"
LOCK = "lock"
OUTSIDE = "outside"
TOOL_TIMEOUT_S = 60.0  # the slowest tool, initdb, takes 0.4 s on two idle cores
END_TIMEOUT_S = 5.0  # for kill -9 to take effect
POLL_S = 0.02
PR_SET_PDEATHSIG = 1  # Source: linux/prctl.h
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # looked up before any fork

# The death signal is sent when the *thread* that forked ends: one that lives as long as we do forks all.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")


class Workplace:
    """A throw-away directory, entered by anybody who may reach it but listed by its owner only."""

    def __init__(self, parent: Path | None = None, *, kind: str = "engine") -> None:
        """Make `PARENT/rangeland-KIND-…`; without a parent, in a temporary directory the account can enter.

        Raises: EngineError where no directory can be made, or the servers' account couldn't enter it.
        """
        self.account = server_account()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._closed = False
        self._guard = threading.Lock()
        self._made_parent = parent if parent and _make_parent(parent) else None
        home = parent or _temporary_directory(self.account)
        self.path, self._lock = _make_directory(home, kind, self.account)

    def make_directory(self, name: str, *, for_server: bool = False) -> Path:
        """A new directory in here that only we, or only the servers' account, can read."""
        path = self.path / name
        path.mkdir(mode=0o700)
        if for_server:
            self.account.give(path)
        return path

    def write_file(self, path: Path, text: str, *, for_server: bool = False) -> Path:
        """Write `text` into a file of mode 0600 that only we, or only the servers' account, can read."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o600)
            if for_server:
                self.account.give(descriptor)
            file.write(text)
        return path

    def write_outside(self, path: Path, text: str) -> None:
        """Write a file of mode 0600 elsewhere, all of it or nothing, that is removed with this directory.

        Its inode is kept, so that whoever removes it later can't take another file of that name.
        Raises: EngineError where it can't be written.
        """
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                note = f"{path.absolute()}\0{os.fstat(descriptor).st_ino}"
            self.write_file(self.path / OUTSIDE, note)
            os.replace(temporary, path)
        except OSError as exc:
            raise EngineError(f"{path} can't be written: {exc.strerror}") from exc

    def start(
        self,
        argv: list[str | Path],
        *,
        directory: Path,
        death_signal: signal.Signals = signal.SIGKILL,
        as_server: bool = False,
        env: Mapping[str, str] | None = None,
        output: IO[bytes] | int = subprocess.DEVNULL,
        errors: IO[bytes] | int = subprocess.STDOUT,
    ) -> subprocess.Popen[bytes]:
        """Start a child in `directory`, in its own process group: Ctrl-C in a terminal reaches us only.

        Raises: EngineError once the workplace is closed, or where the program can't be run.
        """
        identity: dict[str, Any] = {}
        if as_server and self.account.is_other:
            identity = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}

        def fork() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                argv,
                cwd=directory,
                env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(self.path), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                process_group=0,
                umask=0o077,
                preexec_fn=_dying_with(os.getpid(), death_signal),  # noqa: PLW1509  # it takes no lock
                **identity,
            )

        with self._guard:
            if self._closed:
                raise EngineError(f"{Path(argv[0]).name} was not started: we are stopping")
            try:
                process = _forker.submit(fork).result()
            except OSError as exc:
                raise EngineError(f"{argv[0]} can't be run: {exc.strerror}") from exc
            self._processes.append(process)
        return process

    def run(
        self,
        argv: list[str | Path],
        *,
        directory: Path,
        env: Mapping[str, str] | None = None,
        as_server: bool = True,
    ) -> str:
        """Run one of PostgreSQL's tools to its end; what it printed.

        Raises: EngineError with the tool's own first complaint where it failed.
        """
        process = self.start(
            argv,
            directory=directory,
            env=env,
            as_server=as_server,
            output=subprocess.PIPE,
            errors=subprocess.PIPE,
        )
        tool = Path(argv[0]).name
        try:
            output, errors = process.communicate(timeout=TOOL_TIMEOUT_S)
        except subprocess.TimeoutExpired as exc:
            process.kill()
            process.communicate()
            raise EngineError(f"{tool} did not end within {TOOL_TIMEOUT_S:.0f} s") from exc
        finally:
            with self._guard:
                self._processes.remove(process)
        if process.returncode != 0:
            raise EngineError(f"{tool} failed: {first_complaint(errors.decode(errors='replace'))}")
        return output.decode(errors="replace")

    def end_processes(self) -> None:
        """Kill what still works in here, children of children too, and start nothing any more."""
        with self._guard:
            self._closed = True
        kill_inside(self.path)
        for process in self._processes:
            process.wait()

    def close(self) -> None:
        """End every process and remove every file; again is harmless."""
        self.end_processes()
        _remove_outside(self.path)
        remove_directory(self.path)
        self._lock.close()
        if self._made_parent:
            with contextlib.suppress(OSError):  # somebody else put something there
                self._made_parent.rmdir()

    def __enter__(self) -> "Workplace":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_leftovers(parent: Path | None = None, *, kind: str = "engine") -> list[Path]:
    """End and remove what workplaces of ours left in `parent` when they were killed; the directories removed.

    The lock of a living one is held by its process, so this can't touch it, nor another user's.
    """
    account = server_account()
    removed = []
    for path in (parent or _temporary_directory(account)).glob(f"{PREFIX}{kind}-*"):
        if path.is_symlink() or not path.is_dir() or path.stat().st_uid != os.geteuid():
            continue
        lock = _try_lock(path)
        if lock:
            kill_inside(path)
            _remove_outside(path)
            remove_directory(path)
            lock.close()
            removed.append(path)
    return removed


def kill_inside(path: Path) -> None:
    """Kill every process whose current directory is `path` or below, stopped ones too; they are gone then."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while (found := list(_processes_inside(path))) and time.monotonic() < deadline:
        kill_all(found)


def kill_all(processes: list[psutil.Process]) -> None:
    """Kill -9 all of them; return once they are gone or only wait to be reaped."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + END_TIMEOUT_S
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs or is stopped; a dead one that nobody has reaped yet is not alive."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def remove_directory(path: Path) -> None:
    """Remove a directory with everything in it. Raises: EngineError where something can't be removed."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise EngineError(f"{exc.filename} can't be removed ({exc.strerror}): remove {path} by hand") from exc


def first_complaint(errors: str) -> str:
    """What went wrong, on one line: the first error, or fatal one, without its prefix, else the last line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    for word in ("FATAL:", "ERROR:", "PANIC:", "error:"):
        for line in lines:
            if word in line:
                return line.partition(word)[2].strip()
    return lines[-1] if lines else "it said nothing"


def _dying_with(parent_pid: int, death_signal: signal.Signals) -> Callable[[], None]:
    """What a child does between fork and exec, after setuid, which would clear the death signal again."""

    def prepare() -> None:
        if _prctl:
            _prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent_pid:  # the parent died before the signal was set
            os._exit(1)

    return prepare


def _temporary_directory(account: Account) -> Path:
    """The user's temporary directory, or /tmp where the servers' account couldn't enter that."""
    usual = Path(tempfile.gettempdir())
    return usual if account.may_enter(usual) else Path("/tmp")  # noqa: S108  # mkdtemp makes the name


def _make_parent(parent: Path) -> bool:
    """Make the directory unless it is there; whether we did."""
    try:
        parent.mkdir(mode=0o755)
    except FileExistsError:
        return False
    except OSError as exc:
        raise EngineError(f"{parent} can't be made: {exc.strerror}") from exc
    return True


def _make_directory(parent: Path, kind: str, account: Account) -> tuple[Path, IO[bytes]]:
    """A new directory with its lock held, named as a workplace only when it is: no sweeper sees it before."""
    try:
        parent = parent.resolve(strict=True)
        if parent.is_dir() and not account.may_enter(parent):
            raise EngineError(f"{parent}: user {account.name}, who runs the servers, can't enter it")
        hidden = Path(tempfile.mkdtemp(prefix=".", dir=parent))
        hidden.chmod(0o711)
        lock = _try_lock(hidden)
        path = hidden.rename(parent / f"{PREFIX}{kind}-{hidden.name.lstrip('.')}")
    except OSError as exc:
        raise EngineError(f"{parent}: no directory can be made in it: {exc.strerror}") from exc
    if lock is None:
        raise EngineError(f"{path}: somebody else locked it: try again")
    return path, lock


def _try_lock(path: Path) -> IO[bytes] | None:
    """The lock file of a workplace, open and locked until it is closed or we die; None where it is held."""
    try:
        file = open(os.open(path / LOCK, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb")  # noqa: SIM115
    except FileNotFoundError:  # removed since it was listed
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _remove_outside(path: Path) -> None:
    """Remove the file that `write_outside` of the workplace at `path` wrote, if it still is that file."""
    try:
        name, inode = (path / OUTSIDE).read_text("utf-8").split("\0")
        if Path(name).stat().st_ino == int(inode):
            Path(name).unlink()
    except FileNotFoundError:
        return


def _processes_inside(path: Path) -> Iterator[psutil.Process]:
    """Living processes whose current directory is `path` or below, in no order."""
    for process in psutil.process_iter():
        try:
            inside = Path(process.cwd()).is_relative_to(path) and is_alive(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if inside and process.pid != os.getpid():
            yield process
