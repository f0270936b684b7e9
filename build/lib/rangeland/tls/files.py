"""The files of a certificates directory: their names, and how they are read and written.

A secret is never readable by others, not even while it is being written. Files are written all or none.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rangeland.errors import TlsError

CA_CERT = "ca.crt"
NODE_CERT = "node.crt"
NODE_KEY = "node.key"
UI_CA_CERT = "ca-ui.crt"  # who signed ui.crt, when that is not ca.crt; the reference's name
UI_CERT = "ui.crt"
UI_KEY = "ui.key"
CLUSTER_KEY = "cluster.key"

CLIENT_PREFIX = "client."  # client.USER.crt and client.USER.key; the reference's names

PRIVATE = 0o600
PUBLIC = 0o644

_MAX_BYTES = 1 << 20  # the whole Mozilla CA bundle is 0.2 MB; a larger file is not a certificate


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be written. With `replace` an existing one gives way, without it is an error."""

    path: Path
    data: bytes
    mode: int
    replace: bool


def client_files(user: str) -> tuple[str, str]:
    """The names of a user's certificate and key."""
    return f"{CLIENT_PREFIX}{user}.crt", f"{CLIENT_PREFIX}{user}.key"


def client_of(name: str) -> str:
    """Whose certificate or key has this file name; "" when it is no client's."""
    stem = name.removesuffix(".crt") if name.endswith(".crt") else name.removesuffix(".key")
    is_client = stem != name and stem.startswith(CLIENT_PREFIX)
    return stem.removeprefix(CLIENT_PREFIX) if is_client else ""


def is_there(path: Path) -> bool:
    """Whether something has this name; False if that can't be known, so that reading it says why."""
    return os.path.exists(path)  # Path.exists raises where a directory may not be searched


def read_public(path: Path, *, hint: str = "") -> bytes:
    """The whole file. `hint` says how to make a missing one. Raises: TlsError."""
    return _read(path, private=False, hint=hint)


def read_private(path: Path, *, hint: str = "") -> bytes:
    """As `read_public`, but refuses a file that others can read. Raises: TlsError."""
    return _read(path, private=True, hint=hint)


def _read(path: Path, *, private: bool, hint: str) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise TlsError(f"{path} is not a regular file")
            if private:
                _require_private(path, status)
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise TlsError(f"{path} does not exist{hint and f': make it with `{hint}`'}") from exc
    except OSError as exc:
        raise TlsError(f"can't read {path}: {exc.strerror}") from exc
    if len(data) > _MAX_BYTES:
        raise TlsError(f"{path} is larger than a certificate or key can be")
    return data


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # opening a FIFO would wait for its writer


def _require_private(path: Path, status: os.stat_result) -> None:
    """PostgreSQL's rule for server.key: 0600 or less, or 0640 or less when root owns it.

    Source: PostgreSQL's be-secure-common.c, check_ssl_key_file_permissions.
    """
    allowed = 0o640 if status.st_uid == 0 else 0o600
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 & ~allowed:
        raise TlsError(f"{path} can be used by others (mode {mode:04o}): chmod 600 {path}")


def write_files(files: Sequence[NewFile]) -> None:
    """Write all files in their order, or none, making missing directories (0700). Raises: TlsError."""
    with ExitStack() as undo:
        staged = [_stage(file, undo) for file in files]
        for file, temporary in zip(files, staged, strict=True):
            _place(file, temporary, undo)
        undo.pop_all()
    for temporary in staged:
        temporary.unlink(missing_ok=True)
        _kept(temporary).unlink(missing_ok=True)


def _kept(temporary: Path) -> Path:
    """Where a file that gives way waits until all others are in place."""
    return temporary.with_name(temporary.name + ".old")


def _stage(file: NewFile, undo: ExitStack) -> Path:
    """Write the file, to the disk for good, under a temporary name beside its place."""
    directory = file.path.parent
    try:
        if file.path.is_dir():
            raise TlsError(f"{file.path} is a directory, not a file")
        _make_directories(directory, undo)
        descriptor, name = tempfile.mkstemp(prefix=f".{file.path.name}.", dir=directory)  # made with 0600
        undo.callback(Path(name).unlink, missing_ok=True)
        with open(descriptor, "wb") as temporary:
            temporary.write(file.data)
            temporary.flush()
            os.fchmod(descriptor, file.mode)
            os.fsync(descriptor)
    except OSError as exc:
        raise TlsError(f"can't write {file.path}: {exc.strerror}") from exc
    return Path(name)


def _place(file: NewFile, temporary: Path, undo: ExitStack) -> None:
    """Give the staged file its name in one step; `undo` takes it away again or brings the old one back."""
    try:
        if file.replace and os.path.lexists(file.path):
            undo.callback(_kept(temporary).unlink, missing_ok=True)
            os.link(file.path, _kept(temporary), follow_symlinks=False)
            undo.callback(os.replace, _kept(temporary), file.path)
            os.replace(temporary, file.path)
        else:
            os.link(temporary, file.path)  # fails when the name is taken; os.replace would not
            undo.callback(file.path.unlink)
        _sync_directory(file.path.parent)
    except FileExistsError as exc:
        raise TlsError(f"{file.path} exists already: --overwrite replaces it") from exc
    except OSError as exc:
        raise TlsError(f"can't write {file.path}: {exc.strerror}") from exc


def _make_directories(directory: Path, undo: ExitStack) -> None:
    for path in (*reversed(directory.parents), directory):
        if not path.exists():
            os.mkdir(path, 0o700)
            undo.callback(path.rmdir)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_shared(certs_dir: Path, to_dir: Path, *, overwrite: bool = False) -> None:
    """Copy ca.crt and cluster.key, which every node has alike, to another directory. Raises: TlsError."""
    ca_cert = read_public(certs_dir / CA_CERT, hint="rangeland cert create-ca")
    cluster_key = read_private(certs_dir / CLUSTER_KEY, hint="rangeland cert create-cluster-key")
    write_files(
        [
            NewFile(to_dir / CLUSTER_KEY, cluster_key, PRIVATE, overwrite),
            NewFile(to_dir / CA_CERT, ca_cert, PUBLIC, overwrite),
        ]
    )
