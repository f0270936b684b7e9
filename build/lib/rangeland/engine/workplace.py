"""A throw-away directory with all processes that work in it: closing it ends them and removes every file.

A workplace whose owner was killed has no process any more; the next one's `remove_leftovers` removes its files.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from rangeland.engine.account import Account, server_account
from rangeland.engine.processes import family_of, kill_inside, send_all, spawn
from rangeland.engine.shared_memory import remove_dead_segments
from rangeland.errors import EngineError

PREFIX = "rangeland-"
LOCK = "lock"
OUTSIDE = "outside"
TOOL_TIMEOUT_S = 60.0  # the slowest tool, initdb, takes 0.4 s on two idle cores
END_GRACE_S = 1.0  # a server and a tool need some milliseconds to remove their shared memory


class Workplace:
    """A throw-away directory, entered by anybody who may reach it but listed by its owner only."""

    def __init__(self, parent: Path | None = None, *, kind: str = "engine") -> None:
        """Make `PARENT/rangeland-KIND-…`; without a parent, in a temporary directory the account can enter.

        Raises: EngineError where no directory can be made, or the servers' account couldn't enter it.
        """
        self.account = server_account()
        self._children: dict[subprocess.Popen[bytes], signal.Signals] = {}
        self._closed = False
        self._guard = threading.Lock()
        self._made_parent = parent if parent and _make_parent(parent) else None
        home = parent or _temporary_directory(self.account)
        try:
            self.path, self._lock = _make_directory(home, kind, self.account)
        except EngineError:
            self._remove_made_parent()
            raise

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
        """Start a child in `directory`, which gets `death_signal` when this workplace is closed or we are gone.

        Raises: EngineError once the workplace is closed, or where the program can't be run.
        """
        with self._guard:
            if self._closed:
                raise EngineError(f"{Path(argv[0]).name} was not started: we are stopping")
            try:
                process = spawn(
                    argv,
                    directory=directory,
                    env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(self.path), **(env or {})},
                    account=self.account if as_server else None,
                    death_signal=death_signal,
                    output=output,
                    errors=errors,
                )
            except OSError as exc:
                raise EngineError(f"{argv[0]} can't be run: {exc.strerror}") from exc
            self._children[process] = death_signal
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
            death_signal=signal.SIGTERM,
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
                del self._children[process]
        if process.returncode != 0:
            raise EngineError(f"{tool} failed: {first_complaint(errors.decode(errors='replace'))}")
        return output.decode(errors="replace")

    def end_processes(self) -> None:
        """End what still works in here, children of children too, and start nothing any more."""
        with self._guard:
            self._closed = True
            children = dict(self._children)
        for child, death_signal in children.items():
            send_all(family_of(child), signal.SIGCONT)
            child.send_signal(death_signal)
        kill_inside(self.path, grace_s=END_GRACE_S)
        for child in children:
            child.wait()

    def close(self) -> None:
        """End every process and remove every file; again is harmless."""
        self.end_processes()
        _remove_outside(self.path)
        remove_directory(self.path)
        self._lock.close()
        self._remove_made_parent()

    def _remove_made_parent(self) -> None:
        if self._made_parent:
            with contextlib.suppress(OSError):  # somebody else put something there, or it is gone
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


def remove_directory(path: Path) -> None:
    """Remove a directory with everything in it. Raises: EngineError where something can't be removed."""
    remove_dead_segments(path)
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
