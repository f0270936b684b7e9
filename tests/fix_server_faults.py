"""Server faults: each is made in a block and mended at its end; every GET endpoint is asked meanwhile, and judged."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import psycopg

from cluster.fault_results import ask_everything, every_path
from fix_cluster import ANSWER_S, Api, Reply, apis_of, log_in, new_client, wait_until
from rangeland.engine.cluster import Cluster
from rangeland.engine.processes import send_all
from rangeland.engine.server import PostgresServer
from rangeland.state.init import NODE_ROLE
from rangeland.wire.nodes import Liveness

GENERIC = "An internal server error has occurred. Please check your Rangeland logs for more details.\n"
ALL = frozenset({1, 2, 3})
OURS = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND application_name LIKE 'rangeland%%'"


@dataclass(frozen=True)
class Scene:
    """A cluster under test, its ports, a token of a reader and the range id of pgbench_tellers."""

    cluster: Cluster
    apis: list[Api]
    token: str
    range_id: int

    def api(self, node_id: int) -> Api:
        return self.apis[node_id - 1]

    def server(self, node_id: int) -> PostgresServer:
        return self.cluster.servers[node_id - 1]


@dataclass(frozen=True)
class Fault:
    """What is broken while `make` holds, and what must be told of it, by node id.

    `down`: the servers whose parts are missing from every answer; `hurt`: those of which parts may be missing.
    `excused`: what no server can tell meanwhile, as paths below /api/v2; that is a 500 in time.
    """

    name: str
    make: Callable[[Scene], AbstractContextManager[None]]
    down: frozenset[int] = frozenset()
    hurt: frozenset[int] = frozenset()
    excused: tuple[str, ...] = ()
    login_statuses: tuple[int, ...] = (200,)  # of every node

    @property
    def id(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def asked_id(self) -> int:
        """The node whose range list is asked for."""
        return min(self.down | self.hurt, default=2)


def ask_all_nodes(scene: Scene, fault: Fault) -> dict[int, dict[str, Reply]]:
    """Every GET endpoint of every node, by node id and path with placeholders; fails where one takes too long."""
    wanted = every_path(broken_id=fault.asked_id, range_id=scene.range_id, table="public.pgbench_tellers")
    with ThreadPoolExecutor(len(scene.apis)) as nodes:
        answers = nodes.map(lambda api: ask_everything(api, scene.token, wanted), scene.apis)
        return dict(enumerate(answers, 1))


def complaints(answers: Mapping[int, Mapping[str, Reply]], fault: Fault, scene: Scene) -> list[str]:
    """Where an answer isn't full but for the parts that are missing, or doesn't name these."""
    return [
        f"node {node_id}, {path}: {reason}"
        for node_id, by_path in answers.items()
        for path, reply in by_path.items()
        if (reason := _complaint(node_id, path, reply, fault, scene))
    ]


def _complaint(node_id: int, path: str, reply: Reply, fault: Fault, scene: Scene) -> str:
    """What is wrong with an answer; "" where nothing is."""
    short = path.removeprefix("/api/v2")
    if short in fault.excused and reply.status == 500:
        return "" if reply.text.startswith(GENERIC) else f"500 {reply.text}"
    if "ready" in short or short.startswith("/health/restart_safety"):
        return _of_health(node_id, short, reply, fault)
    if short.endswith("/ranges/"):
        return _of_own_ranges(node_id if "local" in short else fault.asked_id, reply, fault, scene)
    if reply.status != 200:
        return f"{reply.status} {reply.text[:300]}"
    if "sessions" in short:
        errors = {each["node_id"]: each["message"] for each in reply.json["errors"]}
        shown = {each["node_id"] for each in reply.json["sessions"] if each.get("application_name") == "witness"}
        return _of_parts(errors, shown, "session list", fault)
    if "hot" in short:
        errors = {each["node_id"]: each["error_message"] for each in reply.json.get("response_error", [])}
        return _of_parts(errors, ALL - errors.keys(), "hot ranges", fault, is_remembered=True)
    if short.startswith("/ranges/"):
        parts = {int(key): part for key, part in reply.json["responses_by_node_id"].items()}
        errors = {key: part["error"] for key, part in parts.items() if "error" in part}
        shown = {key for key, part in parts.items() if part["range_info"]["desc"]["range_id"] == scene.range_id}
        return _of_parts(errors, shown, f"details about range {scene.range_id}", fault)
    if short == "/nodes/":
        return _of_liveness({each["node_id"]: each["liveness_status"] for each in reply.json["nodes"]}, fault)
    return "" if reply.body else "an empty answer"


def _of_parts(
    errors: Mapping[int, str],
    shown: set[int] | frozenset[int],
    what: str,
    fault: Fault,
    *,
    is_remembered: bool = False,
) -> str:
    """A sample of hot ranges that was taken before may be shown for a while."""
    must = frozenset() if is_remembered else fault.down
    if not must <= errors.keys() <= fault.down | fault.hurt:
        return f"errors {errors}"
    if not ALL - errors.keys() <= shown:
        return f"only {sorted(shown)} told, errors {errors}"
    texts = [text for node, text in errors.items() if not text.startswith(_beginnings(what, node))]
    return f"texts {texts}" if texts else ""


def _beginnings(what: str, node_id: int) -> tuple[str, ...]:
    """The contract's texts: a node that was busy with a server that hangs may have been too late for its asker."""
    return f"error requesting {what} from node {node_id} (", f"failed to dial into node {node_id} ("


def _of_own_ranges(asked_id: int, reply: Reply, fault: Fault, scene: Scene) -> str:
    if reply.status == 200:
        known = {each["desc"]["range_id"] for each in reply.json["ranges"]}
        whole = scene.range_id in known and asked_id not in fault.down
        return "" if whole else f"{len(known)} ranges of node {asked_id}"
    first, _, second = reply.text.partition("\n")
    is_named = reply.status == 500 and f"{first}\n" == GENERIC and f"node {asked_id} " in second
    is_expected = asked_id in fault.down | fault.hurt
    return "" if is_named and is_expected else f"{reply.status} {reply.text}"


def _of_liveness(found: Mapping[int, int], fault: Fault) -> str:
    wrong = {
        node: status
        for node, status in found.items()
        if (node in fault.down and status != Liveness.UNAVAILABLE)
        or (node not in fault.down | fault.hurt and status != Liveness.LIVE)
    }
    return f"liveness {found}" if wrong or found.keys() != ALL else ""


def _of_health(node_id: int, short: str, reply: Reply, fault: Fault) -> str:
    if "restart_safety" in short:  # nobody drains: only the relaxed question has a yes
        is_told = reply.status in (200, 503) or (reply.status == 500 and node_id in fault.down | fault.hurt)
    else:
        is_told = reply.status == 200 or (reply.status in (500, 503) and node_id in fault.down | fault.hurt)
    return "" if is_told else f"{reply.status} {reply.text}"


def is_whole(scene: Scene) -> bool:
    """Every node is ready, sees all others as live and names no missing part."""
    whole = Fault("nothing", lambda _: nullcontext())
    for node_id, api in enumerate(scene.apis, 1):
        nodes, sessions = api.get("/api/v2/nodes/", scene.token), api.get("/api/v2/sessions/", scene.token)
        if nodes.status != 200 or sessions.status != 200 or sessions.json["errors"]:
            return False
        if _complaint(node_id, "/api/v2/nodes/", nodes, whole, scene):
            return False
        if api.get("health/?ready=true").status != 200 or api.get("nodes/local/ranges/", scene.token).status != 200:
            return False
    return True


# -- what stays bounded ------------------------------------------------------------------------------------------


def log_ends(scene: Scene) -> list[int]:
    return [node.log.stat().st_size for node in scene.cluster.nodes]


def repeated_lines(scene: Scene, begins: list[int], *, more_than: int) -> list[str]:
    """Texts that one node logged oftener than that since then; moments and numbers in them don't count."""
    found: list[str] = []
    for node, begin in zip(scene.cluster.nodes, begins, strict=True):
        with node.log.open("rb") as log:
            log.seek(begin)
            lines = log.read().decode(errors="replace").splitlines()
        texts = Counter(re.sub(r"^\S+ |\x1b\[[0-9;]*m|\d+", "", line) for line in lines if line.strip())
        found += [f"{node.name}, {count} times: {text}" for text, count in texts.items() if count > more_than]
    return found


def count_ours(server: PostgresServer) -> int:
    """Connections of a node to its server, logins' included."""
    with psycopg.connect(server.conninfo(), connect_timeout=3) as connection:
        row = connection.execute(OURS, [NODE_ROLE]).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def witnesses(scene: Scene) -> Iterator[None]:
    """A session of its own on each server: a list that lacks it isn't whole."""
    with ExitStack() as stack:
        for server in scene.cluster.servers:
            connection = psycopg.connect(server.conninfo(), application_name="witness", autocommit=True)
            stack.callback(connection.close)
        yield


# -- faults ------------------------------------------------------------------------------------------------------


@contextmanager
def killed(scene: Scene, *, node_id: int) -> Iterator[None]:
    scene.server(node_id).kill()
    try:
        yield
    finally:
        scene.server(node_id).start()


@contextmanager
def stopped(scene: Scene, *, node_id: int) -> Iterator[None]:
    with scene.server(node_id).paused():
        yield


@contextmanager
def stopped_postmaster(scene: Scene, *, node_id: int) -> Iterator[None]:
    """What is connected goes on; who connects waits."""
    server = scene.server(node_id)
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


@contextmanager
def stopped_backends(scene: Scene, *, node_id: int) -> Iterator[None]:
    """Those that serve the node hang; new ones are well."""
    server = scene.server(node_id)
    wait_until(lambda: count_ours(server) > 0, "the node is connected")
    with psycopg.connect(server.conninfo()) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE usename = %s AND backend_type = 'client backend'", [NODE_ROLE]
        ).fetchall()
    with _suspended([psutil.Process(pid) for (pid,) in rows]):
        yield


@contextmanager
def stopped_auxiliary(scene: Scene, *, node_id: int, backend_type: str) -> Iterator[None]:
    """`startup` replays, `walreceiver` receives: a standby falls behind, and does not know it."""
    server = scene.server(node_id)
    with psycopg.connect(server.conninfo()) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = %s", [backend_type]
        ).fetchall()
    assert rows
    with _suspended([psutil.Process(pid) for (pid,) in rows]):
        yield


@contextmanager
def _suspended(processes: list[psutil.Process]) -> Iterator[None]:
    send_all(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        send_all(processes, signal.SIGCONT)


@contextmanager
def locked(scene: Scene, *, dbname: str, statements: tuple[str, ...], queued: str) -> Iterator[None]:
    """A transaction that holds what `statements` lock on the primary, and three sessions that wait behind it.

    Returns once the standbys hold it, too.
    """
    primary = scene.cluster.servers[0]
    with ExitStack() as stack:
        waiters = [psycopg.connect(primary.conninfo(dbname)) for _ in range(3)]  # with some locks nobody can connect
        for waiter in waiters:
            stack.callback(waiter.close)
        asking = [stack.enter_context(psycopg.connect(each.conninfo())) for each in scene.cluster.servers[1:]]
        holder = stack.enter_context(psycopg.connect(primary.conninfo(dbname)))
        stack.callback(holder.rollback)
        for statement in statements:
            holder.execute(statement.encode())
        for waiter in waiters:
            waiter.pgconn.send_query(queued.encode())
        with psycopg.connect(primary.conninfo(), autocommit=True) as other:
            other.execute(
                "SELECT pg_logical_emit_message(true, 'flush', '')"
            )  # or the standbys hear of the lock late
        for each in asking:
            each.autocommit = True
            wait_until(partial(_is_locked, each), "the standby replays the lock")
        yield


def _is_locked(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation'"
    ).fetchone()
    return row is not None and row[0] > 0


@contextmanager
def full_of_others(scene: Scene, *, node_id: int, user: str, alone: bool) -> Iterator[None]:
    """Sessions of `user` take every slot that it may have. `alone`: ours are ended first, and get none again."""
    server = scene.server(node_id)
    password = scene.cluster._node_password if user == NODE_ROLE else None
    with ExitStack() as stack:
        superuser = stack.enter_context(psycopg.connect(server.conninfo(), autocommit=True))
        fill = partial(_take_slots, stack, server.conninfo(user=user, password=password))
        fill()
        if alone:
            while superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND "
                "application_name LIKE 'rangeland%%'",
                [NODE_ROLE],
            ).fetchall():
                fill()
        yield


def _take_slots(stack: ExitStack, conninfo: str) -> None:
    with suppress(psycopg.OperationalError):
        while True:
            stack.callback(psycopg.connect(conninfo, application_name="other").close)


@contextmanager
def configured(scene: Scene, *, node_id: int, name: str, value: str, before: str) -> Iterator[None]:
    server = scene.server(node_id)
    server.configure(**{name: value})
    try:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            wait_until(lambda: connection.execute(f"SHOW {name}").fetchone() == (value,), f"{name} is {value}")
        yield
    finally:
        server.configure(**{name: before})


@contextmanager
def paused_replay(scene: Scene, *, node_id: int) -> Iterator[None]:
    with psycopg.connect(scene.server(node_id).conninfo(), autocommit=True) as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
        try:
            yield
        finally:
            connection.execute("SELECT pg_wal_replay_resume()")


@contextmanager
def dead_synchronous_standby(scene: Scene, *, node_id: int) -> Iterator[None]:
    """Every commit that doesn't ask for less waits for ever."""
    name = scene.server(node_id).name
    changed = configured(scene, node_id=1, name="synchronous_standby_names", value=name, before="")
    with changed, stopped(scene, node_id=node_id):
        yield


@contextmanager
def full_disk(scene: Scene, *, node_id: int, directory: str, until: Callable[[Scene], bool]) -> Iterator[None]:
    """Not a byte of room on the file system of a part of the data directory, and the server has felt it."""
    server = scene.server(node_id)
    filler = server.data_dir / directory / "filler"
    try:
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * (1 << 20))
        wait_until(lambda: until(scene), "the full disk is felt", timeout_s=30)
        yield
    finally:
        filler.unlink()
        if not server.is_running:
            server.start()


@contextmanager
def on_small_disk(server: PostgresServer, directory: str) -> Iterator[None]:
    """A part of the data directory on a small file system of its own; the server is started again for it."""
    place = server.data_dir / directory
    kept = place.with_name(f"{place.name}.kept")
    server.stop()
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) + (24 << 20)
    status = place.stat()
    place.rename(kept)
    place.mkdir()
    options = f"size={size},uid={status.st_uid},gid={status.st_gid},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        subprocess.run(["cp", "-a", f"{kept}/.", place], check=True)
        server.start()
        yield
    finally:
        server.stop()
        shutil.rmtree(kept)
        subprocess.run(["cp", "-a", f"{place}/.", kept], check=True)
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()
        kept.rename(place)
        server.start()


def can_mount(directory: Path) -> bool:
    """Whether a file system can be mounted here: for root, where nothing forbids it."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=False, capture_output=True
    )
    if made.returncode == 0:
        subprocess.run(["umount", directory], check=True)
    return made.returncode == 0


@contextmanager
def other_clock(scene: Scene, *, node_id: int, off_s: int) -> Iterator[None]:
    """The node is started again with a wall clock that is off; its monotonic one is right, as on a real machine."""
    node, library = scene.cluster.nodes[node_id - 1], faketime_library()
    assert library is not None
    node.stop()
    node.env = {"LD_PRELOAD": str(library), "FAKETIME": f"{off_s:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    node.start()
    node.wait_until_ready()
    api = scene.api(node_id)
    wait_until(lambda: _has_sampled(api, scene.token), "it answers from a sample, at once", timeout_s=30, poll_s=0.2)
    try:
        yield
    finally:
        node.stop()
        node.env = {}
        node.start()
        node.wait_until_ready()


def _has_sampled(api: Api, token: str) -> bool:
    answer = api.get("ranges/hot/?node_id=local", token)
    return answer.status == 200 and len(answer.json["ranges"]) > 0


def faketime_library() -> Path | None:
    """libfaketime of Debian's package; None where it isn't installed."""
    return next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


def log_in_and_out(scene: Scene, api: Api) -> tuple[Reply, Reply | None]:
    """Both in time; the answer of the logout is None where there was no login."""
    into = api.log_in(scene.cluster.username, scene.cluster.password, client=new_client())
    assert into.elapsed_s < ANSWER_S
    if into.status != 200:
        return into, None
    out = api.log_out(into.json["session"])
    assert out.elapsed_s < ANSWER_S
    return into, out


def make_scene(cluster: Cluster) -> Scene:
    """Once the range of pgbench_tellers is known."""
    apis = apis_of(cluster)
    token = log_in(cluster, apis[0], cluster.username)
    ranges = apis[0].get("nodes/1/ranges/", token).json["ranges"]
    range_id = next(each["desc"]["range_id"] for each in ranges if each.get("table") == "pgbench_tellers")
    scene = Scene(cluster, apis, token, range_id)
    wait_until(lambda: is_whole(scene), "the cluster is whole", timeout_s=20, poll_s=0.1)
    return scene


def runs_out_of_pages(scene: Scene) -> bool:
    """A table that grows on the primary gets no more room."""
    with psycopg.connect(scene.cluster.servers[0].conninfo(), autocommit=True) as connection:
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS grows AS SELECT repeat('x', 1000) FROM generate_series(1, 1000)"
            )
            connection.execute("INSERT INTO grows SELECT * FROM grows")
        except psycopg.errors.DiskFull:
            return True
    return False


def runs_out_of_wal(scene: Scene) -> bool:
    """The primary ends when it can't begin another segment of WAL."""
    primary = scene.cluster.servers[0]
    with suppress(psycopg.OperationalError), psycopg.connect(primary.conninfo(), autocommit=True) as connection:
        connection.execute("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000000)), pg_switch_wal()")
    return not primary.is_running
