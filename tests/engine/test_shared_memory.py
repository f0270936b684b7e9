"""What servers killed by -9 leave in the kernel."""

import pytest

from fix_engine import MakeServers
from rangeland.engine.shared_memory import TABLE as KERNEL_TABLE
from rangeland.engine.shared_memory import dead_segments

LOCK_FILE = "4399\n/data\n1795458393\n5432\n/sockets\nlocalhost\n  2187329         4\nready   \n"
TABLE = """\
       key      shmid perms                  size  cpid  lpid nattch   uid
   2304168     196608   600                    56 14406 14415      0 65534
   2187329          4   600                    56  4399 22072      0 65534
"""


def test_a_dead_servers_segment_is_found() -> None:
    assert dead_segments(LOCK_FILE, TABLE) == [4]


@pytest.mark.parametrize(
    ("lock_file", "table"),
    [
        (LOCK_FILE, TABLE.replace(" 22072      0", " 22072      1")),  # in use
        (LOCK_FILE, TABLE.replace("4399", "4398")),  # made by somebody else
        (LOCK_FILE, TABLE.replace("2187329", "2187330")),
        ("4399\n/data\n", TABLE),  # written half
        ("", TABLE),
    ],
)
def test_anybody_elses_segment_is_left_alone(lock_file: str, table: str) -> None:
    assert dead_segments(lock_file, table) == []


@pytest.mark.skipif(not KERNEL_TABLE.exists(), reason="this system doesn't tell its shared memory segments")
def test_removing_a_killed_server_removes_its_segment(make_servers: MakeServers) -> None:
    [server] = make_servers(1)
    key = (server.data_dir / "postmaster.pid").read_text().splitlines()[6].split()[0]
    assert key in KERNEL_TABLE.read_text()
    server.remove()
    assert key not in KERNEL_TABLE.read_text()
