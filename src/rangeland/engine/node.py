"""One Rangeland node as a child process beside a server that we run ourselves."""

import contextlib
import http.client
import json
import signal
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rangeland.config import program
from rangeland.engine.processes import family_of, kill_all, send_all
from rangeland.engine.server import PostgresServer
from rangeland.engine.workplace import Workplace
from rangeland.errors import EngineError
from rangeland.tls import CA_CERT

READY_TIMEOUT_S = 30.0  # 2 s on two idle cores
READY_POLL_S = 0.1  # 3 ms of CPU each
PROBE_TIMEOUT_S = 2.0


class NodeProcess:
    """`rangeland start` with its settings in a file of mode 0600; passwords are nowhere else.

    `certs_dir` None: without TLS and login.
    """

    def __init__(
        self,
        workplace: Workplace,
        server: PostgresServer,
        *,
        name: str,
        http_port: int,
        certs_dir: Path | None,
        settings: dict[str, str | bool],
    ) -> None:
        self.workplace = workplace
        self.server = server
        self.name = name
        self.http_port = http_port
        self.certs_dir = certs_dir
        self.home = workplace.make_directory(name)
        self.config = workplace.write_file(self.home / "rangeland.toml", _to_toml(settings))
        self.log = self.home / "node.log"
        self.node_id = 0  # 0: not yet known
        self.env: dict[str, str] = {}  # beside the workplace's, from the next start on
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What it advertises and is known by."""
        return f"localhost:{self.http_port}"

    @property
    def sql_address(self) -> str:
        """What it advertises for its server."""
        return f"localhost:{self.server.port}"

    @property
    def url(self) -> str:
        """Where its API is, without a path."""
        return f"http{'s' if self.certs_dir else ''}://{self.address}"

    @property
    def is_running(self) -> bool:
        """Whether the process lives, also when it is paused."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id. Raises: EngineError where it isn't running."""
        if self._process is None or not self.is_running:
            raise EngineError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it; `wait_until_ready` returns when it serves."""
        with self.log.open("ab") as log:
            self._process = self.workplace.start(
                [*program(), "start", "--config", self.config], directory=self.home, env=self.env, output=log
            )

    def wait_until_serving(self) -> None:
        """Return once it answers at all. Raises: EngineError where it ends, or takes too long."""
        self.wait_until(lambda: self.ask("GET", "health/") is not None, "serving")

    def wait_until_ready(self) -> None:
        """Return once `health/?ready=true` is 200. Raises: EngineError where it ends, or takes too long."""
        self.wait_until(lambda: self.ask("GET", "health/?ready=true") is not None, "ready")

    def wait_until(self, is_so: Callable[[], bool], state: str) -> None:
        """Return once `is_so` says yes. Raises: EngineError where the node ends, or it takes too long."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not is_so():
            if not self.is_running:
                raise EngineError(f"{self.name} did not start: {self.last_words()}")
            if time.monotonic() > deadline:
                waited = f"was not {state} after {READY_TIMEOUT_S:.0f} s"
                raise EngineError(f"{self.name} {waited}: {self.last_words()}")
            time.sleep(READY_POLL_S)

    def ask(self, method: str, path: str, *, session: str | None = None, form: str | None = None) -> Any:
        """The JSON that the node answers below /api/v2/; None where it answers nothing or an error."""
        headers = {"X-Cockroach-API-Session": session} if session else {}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        with contextlib.closing(self._connect()) as connection:
            try:
                connection.request(method, f"/api/v2/{path}", body=form, headers=headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                return None
            return json.loads(body) if answer.status == http.HTTPStatus.OK else None

    def _connect(self) -> http.client.HTTPConnection:
        if self.certs_dir is None:
            return http.client.HTTPConnection("localhost", self.http_port, timeout=PROBE_TIMEOUT_S)
        tls = ssl.create_default_context(cafile=str(self.certs_dir / CA_CERT))
        return http.client.HTTPSConnection("localhost", self.http_port, timeout=PROBE_TIMEOUT_S, context=tls)

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text("utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def stop(self, *, timeout_s: float = 20.0) -> int:
        """Drain it (SIGTERM) and return its exit status; kill -9 after `timeout_s`. Again is harmless."""
        if self._process is None:
            return 0
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
            self.resume()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        self.kill()
        return self._process.wait()

    def kill(self) -> None:
        """Kill it with -9; it can be started again."""
        kill_all(family_of(self._process))
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """Stop it where it stands (SIGSTOP): connections hang, none is refused."""
        send_all(family_of(self._process), signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        send_all(family_of(self._process), signal.SIGCONT)


def _to_toml(settings: dict[str, str | bool]) -> str:
    """A flat table; a JSON string is a TOML string as long as it holds no DEL and no lone surrogate."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
