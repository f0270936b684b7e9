"""One PostgreSQL server that we run ourselves: made, started, copied, promoted, paused, killed.

Passwords travel in files of mode 0600 only: never in an argument, an environment or a log.
"""

import contextlib
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import make_conninfo

from rangeland.engine import roles
from rangeland.engine.binaries import Binaries
from rangeland.engine.processes import POLL_S, family_of, kill_all, send_all
from rangeland.engine.workplace import Workplace, first_complaint, remove_directory
from rangeland.errors import EngineError

SUPERUSER = "postgres"
REPLICATOR = "replicator"
LONGEST_SOCKET_PATH = 107  # bytes; sun_path of unix(7) less its closing NUL
START_TIMEOUT_S = 30.0  # 0.1 s when idle, some seconds of crash recovery on a busy machine
STOP_TIMEOUT_S = 5.0  # then kill -9; the demo has to end within 10 s

# As a server that one would run, so that nothing is wrong with it; memory is kept small, standbys come back at once.
SETTINGS = {
    "autovacuum_naptime": "20s",  # keeps pgbench's two small, hot tables from bloating
    "cluster_name": "{name}",
    "dynamic_shared_memory_type": "mmap",  # inside the data directory: kill -9 leaves nothing in /dev/shm
    "hot_standby_feedback": "on",
    "listen_addresses": "localhost",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "max_replication_slots": "64",
    "max_slot_wal_keep_size": "256MB",  # a standby that stays away must not fill the disk
    "max_wal_senders": "64",
    "max_wal_size": "128MB",
    "min_wal_size": "32MB",
    "password_encryption": "scram-sha-256",
    "port": "{port}",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "unix_socket_directories": "{socket_dir}",
    "wal_keep_size": "128MB",  # pg_basebackup's slot comes after its checkpoint, pgbench's 50 MB in between
    "wal_level": "replica",
    "wal_retrieve_retry_interval": "200ms",
}


class PostgresServer:
    """A server in its own directory of a workplace, on localhost; nothing until `become_…`.

    `password_by_user` is shared by a primary and its standbys, as the roles are.
    """

    def __init__(self, workplace: Workplace, binaries: Binaries, *, name: str, port: int) -> None:
        self.workplace = workplace
        self.binaries = binaries
        self.name = name
        self.port = port
        self.home = workplace.path / name
        self.data_dir = self.home / "data"
        self.log = self.home / "server.log"
        self.socket_dir = self.home if _fits_socket(self.home, port) else None
        self.password_by_user: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    # -- where it is -----------------------------------------------------------------------------------------

    @property
    def major(self) -> int:
        """15, 16, 17 or 18."""
        return self.binaries.major

    @property
    def pid(self) -> int:
        """The postmaster's process id. Raises: EngineError where it isn't running."""
        if self._process is None or not self.is_running:
            raise EngineError(f"server {self.name} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the postmaster lives, also when it is paused."""
        return self._process is not None and self._process.poll() is None

    def conninfo(
        self,
        dbname: str = "postgres",
        user: str = SUPERUSER,
        password: str | None = None,
        *,
        host: str = "127.0.0.1",
    ) -> str:
        """libpq's key-value string; without a password that of a role we made. `host` may be `socket_dir`."""
        secret = self.password_by_user.get(user) if password is None else password
        return make_conninfo(host=str(host), port=self.port, dbname=dbname, user=user, password=secret)

    def url(
        self,
        dbname: str = "postgres",
        user: str = SUPERUSER,
        password: str | None = None,
        *,
        host: str = "127.0.0.1",
    ) -> str:
        """The same as a URL, over TCP."""
        secret = self.password_by_user.get(user) if password is None else password
        login = quote(user, safe="") + (f":{quote(secret, safe='')}" if secret else "")
        return f"postgresql://{login}@{host}:{self.port}/{quote(dbname, safe='')}"

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it accepts connections.

        Raises: EngineError with the server's own complaint where it ends instead.
        """
        with self.log.open("ab") as log:
            self.workplace.account.give(log.fileno())
            self._process = self.workplace.start(
                [self.binaries.tool("postgres"), "-D", self.data_dir],
                directory=self.data_dir,
                death_signal=signal.SIGQUIT,  # ends the backends too; killed by -9 it may leave busy ones
                as_server=True,
                output=log,
            )
        self._wait_until_ready()

    def stop(self, *, immediately: bool = False) -> None:
        """Stop it, cleanly or like a crash; again, or when it was killed or paused, is harmless."""
        if not self.is_running:
            return
        self.resume()
        self.signal(signal.SIGQUIT if immediately else signal.SIGINT)
        try:
            self._wait_until_gone(STOP_TIMEOUT_S)
        except EngineError:
            self.kill()

    def kill(self) -> None:
        """Kill it with -9 together with all its backends, as a power cut would; it can be started again."""
        kill_all(family_of(self._process))
        self._wait_until_gone(STOP_TIMEOUT_S)

    def remove(self) -> None:
        """Kill it and remove its files."""
        self.kill()
        remove_directory(self.home)

    def restart(self, *, immediately: bool = False) -> None:
        """Stop and start, on the same port."""
        self.stop(immediately=immediately)
        self.start()

    def pause(self) -> None:
        """Stop the postmaster and its backends (SIGSTOP): connections hang, none is refused."""
        send_all(family_of(self._process), signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        send_all(family_of(self._process), signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Paused inside the block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the postmaster."""
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    # -- settings, roles, replication ------------------------------------------------------------------------

    def configure(self, **settings: str | int) -> None:
        """Write settings that outrank the earlier ones and make the server read its files again.

        Those that need a restart wait for one.
        """
        with (self.data_dir / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = {_quote(str(value))}\n" for name, value in settings.items())
        self.signal(signal.SIGHUP)

    def read_hba(self) -> str:
        """The text of pg_hba.conf: who may connect from where, and how that is proved."""
        return (self.data_dir / "pg_hba.conf").read_text("utf-8")

    def write_hba(self, text: str) -> None:
        """Replace pg_hba.conf and make the server read it; new connections follow it milliseconds later."""
        self.workplace.write_file(self.data_dir / "pg_hba.conf", text, for_server=True)
        self.signal(signal.SIGHUP)

    def create_role(self, name: str, attributes: str = "LOGIN", *, password: str | None = None) -> str:
        """Make a role with a password, by default a random one; returns it. The server gets a SCRAM verifier.

        `attributes` is what follows the name in CREATE ROLE: `LOGIN IN ROLE pg_monitor`.
        """
        secret = password if password is not None else make_password()
        roles.create_role(self.conninfo(), name, attributes, secret)
        self.password_by_user[name] = secret
        return secret

    def make_passfile(self, path: Path, *users: str) -> Path:
        """A password file of mode 0600 for the servers' account, for these users on any host and database."""
        lines = [f"*:*:*:{user}:{self.password_by_user[user]}\n" for user in users]
        return self.workplace.write_file(path, "".join(lines), for_server=True)

    def become_primary(self, *, hold: Callable[[], object] = lambda: None) -> None:
        """Make the data directory, start once `hold` returns, and make the role that standbys stream as."""
        self._init()
        hold()
        self._start_anew()
        self.create_role(REPLICATOR, "LOGIN REPLICATION")

    def become_standby(self, primary: "PostgresServer") -> None:
        """Copy the running `primary`, with a slot of this server's name there, and start to stream."""
        self.password_by_user = primary.password_by_user
        self.workplace.make_directory(self.name, for_server=True)
        passfile = self.make_passfile(self.home / "passfile", REPLICATOR)
        self.workplace.run(
            [
                self.binaries.tool("pg_basebackup"),
                *("--pgdata", self.data_dir, "--host=127.0.0.1", f"--port={primary.port}"),
                *(f"--username={REPLICATOR}", "--no-password", f"--slot={self.name}", "--create-slot"),
                *("--checkpoint=fast", "--wal-method=stream", "--no-sync", "--no-manifest"),
            ],
            directory=self.home,
            env={"PGPASSFILE": str(passfile)},
        )
        self.follow(primary)
        self._start_anew()

    def follow(self, primary: "PostgresServer") -> None:
        """Make this stopped server stream, once it is started, from its slot at `primary`."""
        source = make_conninfo(
            host="127.0.0.1",
            port=primary.port,
            user=REPLICATOR,
            passfile=str(self.home / "passfile"),
            application_name=self.name,
        )
        self._write_settings(primary_conninfo=source, primary_slot_name=self.name)
        self.workplace.write_file(self.data_dir / "standby.signal", "", for_server=True)

    def promote(self) -> None:
        """Make this standby a primary; returns once it takes writes."""
        self.workplace.run(
            [self.binaries.tool("pg_ctl"), "promote", "--wait", "--silent", "--pgdata", self.data_dir],
            directory=self.home,
        )

    # -- inside ----------------------------------------------------------------------------------------------

    def _start_anew(self) -> None:
        """Start what was just made: nothing in it has to be on the disk yet, and to force it there takes seconds."""
        self.configure(fsync="off")
        self.start()
        self.configure(fsync="on")

    def _init(self) -> None:
        """Make the data directory (initdb), with SCRAM for every way in, and the file of settings."""
        self.workplace.make_directory(self.name, for_server=True)
        self.password_by_user[SUPERUSER] = make_password()
        secret = self.workplace.write_file(
            self.home / "superuser", self.password_by_user[SUPERUSER] + "\n", for_server=True
        )
        self.workplace.run(
            [
                self.binaries.tool("initdb"),
                *("--pgdata", self.data_dir, "--username", SUPERUSER, "--pwfile", secret),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ],
            directory=self.home,
        )
        secret.unlink()
        self._write_settings()

    def _write_settings(self, **more: str) -> None:
        """Write postgresql.conf anew: the settings of every throw-away server, and these."""
        place = {"name": self.name, "port": self.port, "socket_dir": self.socket_dir or ""}
        settings = {name: value.format(**place) for name, value in SETTINGS.items()} | more
        text = "".join(f"{name} = {_quote(value)}\n" for name, value in sorted(settings.items()))
        self.workplace.write_file(self.data_dir / "postgresql.conf", text, for_server=True)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if not self.is_running:
                raise EngineError(f"server {self.name} did not start: {first_complaint(self.log.read_text('utf-8'))}")
            if time.monotonic() > deadline:
                raise EngineError(f"server {self.name} was not ready after {START_TIMEOUT_S:.0f} s: see {self.log}")
            time.sleep(POLL_S)

    def _is_ready(self) -> bool:
        """Whether the present postmaster's lock file says so. Source: PostgreSQL's pidfile.h."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return self.is_running and len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _wait_until_gone(self, timeout_s: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as exc:
            raise EngineError(f"server {self.name} did not stop within {timeout_s:.0f} s") from exc


def make_password() -> str:
    """A random password that needs no quoting anywhere."""
    return secrets.token_urlsafe(12)  # 96 bits


def _fits_socket(directory: Path, port: int) -> bool:
    return len(f"{directory}/.s.PGSQL.{port}".encode()) <= LONGEST_SOCKET_PATH


def _quote(value: str) -> str:
    """A value of postgresql.conf in single quotes."""
    return "'" + value.replace("'", "''") + "'"
