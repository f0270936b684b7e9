"""The operating system's account that our PostgreSQL servers run as."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from rangeland.errors import EngineError

UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root; this account exists everywhere and owns nothing


@dataclass(frozen=True, slots=True)
class Account:
    """Who a server runs as; `is_other` says that it isn't the account of this process."""

    name: str
    uid: int
    gid: int
    is_other: bool

    def may_enter(self, directory: Path) -> bool:
        """Whether the account can reach files of `directory`: every part of its path lets it search."""
        parts = [directory, *directory.parents]
        return all(self._has_bit(part, stat.S_IXUSR, stat.S_IXGRP, stat.S_IXOTH) for part in parts)

    def may_run(self, program: Path) -> bool:
        """Whether the account can reach and execute `program`, links followed."""
        real = program.resolve()
        return self.may_enter(real.parent) and self._has_bit(real, stat.S_IXUSR, stat.S_IXGRP, stat.S_IXOTH)

    def give(self, file: Path | int) -> None:
        """Make the account the owner of a path or an open file, where it isn't us already."""
        if self.is_other:
            os.chown(file, self.uid, self.gid)

    def _has_bit(self, path: Path, owner_bit: int, group_bit: int, other_bit: int) -> bool:
        status = path.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & owner_bit)
        return bool(status.st_mode & (group_bit if status.st_gid == self.gid else other_bit))


def server_account() -> Account:
    """Ourselves; as root the unprivileged account.

    Raises: EngineError where the account has no entry in the password database, which `initdb` insists on.
    """
    is_root = os.geteuid() == 0
    try:
        entry = pwd.getpwnam(UNPRIVILEGED) if is_root else pwd.getpwuid(os.geteuid())
    except KeyError:
        who = f"user {UNPRIVILEGED}" if is_root else f"user id {os.geteuid()}"
        raise EngineError(f"{who} has no entry in /etc/passwd, and initdb needs one: add it") from None
    gid = entry.pw_gid if is_root else os.getegid()
    return Account(entry.pw_name, entry.pw_uid, gid, is_other=is_root)
