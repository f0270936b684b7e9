"""A light, endless pgbench load on a cluster's primary, so that there is something to see."""

import signal
import subprocess
import threading
from contextlib import suppress

from rangeland.engine.server import SUPERUSER, PostgresServer
from rangeland.engine.workplace import Workplace
from rangeland.errors import EngineError

NAME = "pgbench"  # of the role and of its database
SCALE = 3  # 300,000 accounts, 45 MB, filled in 0.6 s; enough for pgbench_accounts to be hottest at any rate
CLIENTS = 3
FOREVER_S = 2_000_000_000  # 63 years; pgbench wants a number
RETRY_S = 1.0


class Load:
    """pgbench on the one of the servers that takes writes; started again when it ends, as with a primary."""

    def __init__(self, workplace: Workplace, servers: list[PostgresServer], *, tps: int) -> None:
        self.workplace = workplace
        self.servers = servers
        self.tps = tps
        self.home = workplace.make_directory("load", for_server=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep_running, name="load", daemon=True)

    def fill(self) -> None:
        """Make the role, its database and pgbench's four tables on the first server, the primary."""
        primary = self.servers[0]
        primary.create_role(NAME)
        admin = primary.make_passfile(self.home / "admin", SUPERUSER)
        self._run("createdb", "--owner", NAME, NAME, env=_login(SUPERUSER, [primary], str(admin)))
        admin.unlink()
        owner = primary.make_passfile(self.home / "passfile", NAME)
        fill = ("--initialize", "--quiet", f"--scale={SCALE}", NAME)
        self._run("pgbench", *fill, env=_login(NAME, [primary], str(owner)))

    def start(self) -> None:
        """Run the load from now on."""
        self._keeper.start()

    def stop(self) -> None:
        """End it; again, or before `start`, is harmless."""
        self._stopping.set()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def _keep_running(self) -> None:
        """The thread's work; it ends with `stop`, or when the workplace starts nothing any more."""
        arguments = ["--no-vacuum", f"--client={CLIENTS}", f"--rate={self.tps}", f"--time={FOREVER_S}", NAME]
        tool = self.servers[0].binaries.tool("pgbench")
        login = _login(NAME, self.servers, str(self.home / "passfile"))
        with suppress(EngineError):
            while not self._stopping.is_set():
                self._process = self.workplace.start(
                    [tool, *arguments], directory=self.home, as_server=True, env=login
                )
                self._process.wait()
                self._stopping.wait(RETRY_S)

    def _run(self, tool: str, *arguments: str, env: dict[str, str]) -> None:
        binaries = self.servers[0].binaries
        self.workplace.run([binaries.tool(tool), *arguments], directory=self.home, env=env)


def _login(user: str, servers: list[PostgresServer], passfile: str) -> dict[str, str]:
    """libpq's variables for the one of these servers that takes writes; the password is in the file only."""
    return {
        "PGHOST": ",".join("127.0.0.1" for _ in servers),
        "PGPORT": ",".join(str(server.port) for server in servers),
        "PGTARGETSESSIONATTRS": "read-write",
        "PGCONNECT_TIMEOUT": "2",
        "PGUSER": user,
        "PGPASSFILE": passfile,
    }
