"""`rangeland auth-session` and `rangeland node`, which ask a running node with the cluster key."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from fix_cluster import wait_until
from fix_commands import Completed, complaint, run_command
from rangeland import tls
from rangeland.engine.cluster import Cluster, Plan
from rangeland.engine.ports import free_port
from rangeland.engine.workplace import Workplace

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}"
Ask = Callable[..., Completed]


@pytest.fixture(scope="module")
def small_cluster() -> Iterator[Cluster]:
    """One secure node beside one server."""
    with Workplace(kind="test") as workplace:
        plan = Plan(nodes=1, http_port=free_port(), sql_port=free_port(), load_tps=0)
        cluster = Cluster(workplace, plan)
        cluster.open()
        yield cluster
        cluster.stop()


@pytest.fixture
def ask(small_cluster: Cluster, tmp_path: Path) -> Ask:
    """Run a command that finds the node and its key in the environment."""
    [node] = small_cluster.nodes

    def run(*words: str, **variables: str) -> Completed:
        own = {"RANGELAND_NODE_URL": node.url, "RANGELAND_CERTS_DIR": node.certs_dir or ""}
        return run_command(*words, home=tmp_path, **own, **variables)

    return run


@pytest.fixture
def user(small_cluster: Cluster) -> str:
    """A role of this test, a member of admin."""
    [server] = small_cluster.servers
    name = f"user_{free_port()}"
    server.create_role(name, "LOGIN IN ROLE admin")
    return name


def rows_of(done: Completed, separator: str = "\t") -> list[dict[str, str]]:
    assert (done.returncode, done.stderr) == (0, "")
    return list(csv.DictReader(io.StringIO(done.stdout), delimiter=separator))


def token_of(cookie: str) -> str:
    match = re.fullmatch(r"session=([\w+/=]+); Path=/; HttpOnly; Secure", cookie)
    assert match is not None
    return match[1]


def test_a_login_without_password_makes_a_token_that_works_until_logout(
    ask: Ask, user: str, small_cluster: Cluster
) -> None:
    [node] = small_cluster.nodes
    [row] = rows_of(ask("auth-session", "login", user))
    assert list(row) == ["username", "session ID", "authentication cookie"]
    assert row["username"] == user
    token = token_of(row["authentication cookie"])
    assert node.ask("GET", "nodes/", session=token) is not None
    [ended] = rows_of(ask("auth-session", "logout", user))
    assert list(ended) == ["username", "session ID", "revoked"]
    assert ended["session ID"] == row["session ID"]
    assert re.fullmatch(TIME, ended["revoked"])
    assert node.ask("GET", "nodes/", session=token) is None


def test_only_cookie_prints_nothing_else(ask: Ask, user: str) -> None:
    done = ask("auth-session", "login", user, "--only-cookie")
    assert (done.returncode, done.stderr) == (0, "")
    token_of(done.stdout.removesuffix("\n"))


@pytest.mark.parametrize(
    ("flags", "variables", "lifetime_s"),
    [
        ([], {}, 3600),
        (["--expire-after", "4h30m"], {}, 4.5 * 3600),
        ([], {"RANGELAND_EXPIRE_AFTER": "20m"}, 1200),
        (["--expire-after", "2h"], {"RANGELAND_EXPIRE_AFTER": "20m"}, 7200),
    ],
)
def test_the_lifetime_is_what_was_asked_for(
    ask: Ask, user: str, small_cluster: Cluster, flags: list[str], variables: dict[str, str], lifetime_s: float
) -> None:
    assert ask("auth-session", "login", user, *flags, **variables).returncode == 0
    [server] = small_cluster.servers
    with psycopg.connect(server.conninfo()) as connection:
        lifetime = (
            b"SELECT extract(epoch FROM expires_at - created_at) FROM rangeland.web_sessions WHERE username = %s"
        )
        row = connection.execute(lifetime, [user]).fetchone()
    assert row is not None
    assert abs(int(row[0]) - lifetime_s) <= 1


def test_the_list_shows_live_and_ended_sessions(ask: Ask, user: str) -> None:
    ask("auth-session", "login", user)
    ask("auth-session", "logout", user)
    ask("auth-session", "login", user)
    rows = [row for row in rows_of(ask("auth-session", "list")) if row["username"] == user]
    assert list(rows[0]) == ["username", "session ID", "created", "expires", "revoked", "last used"]
    assert re.fullmatch(TIME, rows[0]["revoked"])
    assert rows[1]["revoked"] == "NULL"
    assert rows[0]["created"] < rows[1]["created"] < rows[1]["expires"]


def test_a_second_logout_leaves_the_time_of_the_first(ask: Ask, user: str) -> None:
    ask("auth-session", "login", user)
    [first] = rows_of(ask("auth-session", "logout", user))
    [second] = rows_of(ask("auth-session", "logout", user))
    assert second == first | {"revoked": second["revoked"]}
    [listed] = [row for row in rows_of(ask("auth-session", "list")) if row["username"] == user]
    assert listed["revoked"] == second["revoked"]


def test_a_logout_of_a_user_without_sessions_is_an_empty_list(ask: Ask) -> None:
    assert rows_of(ask("auth-session", "logout", "nobody_ever")) == []


def test_a_login_of_an_unknown_user_is_one_line(ask: Ask) -> None:
    assert complaint(ask("auth-session", "login", "nobody_ever")) == 'user "nobody_ever" does not exist'


def test_node_ls_lists_ids(ask: Ask) -> None:
    assert ask("node", "ls").stdout == "id\n1\n"


def test_node_status_shows_the_node_and_its_server(ask: Ask, small_cluster: Cluster) -> None:
    [node] = small_cluster.nodes
    [row] = rows_of(ask("node", "status"))
    times = [row.pop(name) for name in ("started_at", "updated_at")]
    assert all(re.fullmatch(TIME, moment) for moment in times)
    assert times[0] < times[1]
    assert row == {
        "id": "1",
        "address": f"localhost:{node.http_port}",
        "sql_address": f"localhost:{node.server.port}",
        "build": "v0.1.0",
        "locality": "region=demo,zone=a",
        "is_available": "true",
        "is_live": "true",
    }


BASE = ["id", "address", "sql_address", "build", "started_at", "updated_at", "locality", "is_available", "is_live"]
RANGES = ["replicas_leaders", "replicas_leaseholders", "ranges", "ranges_unavailable", "ranges_underreplicated"]
STATS = ["live_bytes", "key_bytes", "value_bytes", "intent_bytes", "system_bytes"]
DECOMMISSION = ["gossiped_replicas", "is_decommissioning", "membership", "is_draining"]


@pytest.mark.parametrize(
    ("flags", "columns"),
    [
        ([], BASE),
        (["--ranges"], BASE + RANGES),
        (["--stats"], BASE + STATS),
        (["--decommission"], BASE + DECOMMISSION),
        (["--decommission", "--ranges"], BASE + RANGES + DECOMMISSION),
        (["--all"], BASE + RANGES + STATS + DECOMMISSION),
    ],
    ids=" ".join,
)
def test_node_status_shows_the_columns_asked_for(ask: Ask, flags: list[str], columns: list[str]) -> None:
    [row] = rows_of(ask("node", "status", *flags))
    assert list(row) == columns


def test_node_status_counts_what_nodes_tells_and_invents_nothing(ask: Ask, user: str, small_cluster: Cluster) -> None:
    [node] = small_cluster.nodes
    [login] = rows_of(ask("auth-session", "login", user))
    token = token_of(login["authentication cookie"])

    def store() -> dict[str, float]:
        [status] = node.ask("GET", "nodes/", session=token)["nodes"]
        return dict(status["store_metrics"]["1"])

    wait_until(lambda: store().keys() >= {"ranges", "replicas", "livebytes"}, "the first reading has counted")
    [row] = json.loads(ask("node", "status", "--all", "--format", "json").stdout)
    told = store()
    assert told["ranges"] > 0
    assert [row[name] for name in RANGES] == [None, told["ranges"], told["ranges"], None, None]
    assert [row[name] for name in STATS] == [told["livebytes"], None, None, None, None]
    assert [row[name] for name in DECOMMISSION] == [told["replicas"], False, "active", False]


def test_node_status_takes_ids(ask: Ask) -> None:
    assert [row["id"] for row in rows_of(ask("node", "status", "1"))] == ["1"]
    assert complaint(ask("node", "status", "1", "7", "9")) == "there is no node 7, 9"


def test_rows_are_shown_in_each_format(ask: Ask) -> None:
    assert rows_of(ask("node", "status", "--format", "csv"), ",")[0]["locality"] == "region=demo,zone=a"
    [row] = json.loads(ask("node", "status", "--format", "json").stdout)
    assert (row["id"], row["is_live"]) == (1, True)
    assert ask("node", "ls", "--format", "table").stdout == " id\n----\n  1\n(1 row)\n"
    assert ask("node", "ls", "--format", "ndjson").stdout == '{"id": 1}\n'
    assert ask("node", "ls", "--format", "records").stdout == "-[ RECORD 1 ]\nid | 1\n"
    assert ask("node", "ls", "--format", "raw").stdout == "# 1 column\n# row 1\n## 1\n1\n# 1 row\n"
    assert ask("node", "ls", "--format", "tsv").stdout == ask("node", "ls").stdout


def test_another_cluster_key_is_refused_in_one_line(small_cluster: Cluster, tmp_path: Path) -> None:
    [node] = small_cluster.nodes
    assert node.certs_dir is not None
    (tmp_path / "certs").mkdir(0o700)
    (tmp_path / "certs" / tls.CA_CERT).write_bytes((node.certs_dir / tls.CA_CERT).read_bytes())
    tls.create_cluster_key(tmp_path / "certs")
    done = run_command("node", "ls", "--url", node.url, "--certs-dir", "certs", home=tmp_path)
    assert complaint(done) == f"{node.url}: not signed with this cluster's key"


def test_a_node_of_another_authority_is_not_trusted(small_cluster: Cluster, tmp_path: Path) -> None:
    [node] = small_cluster.nodes
    tls.create_ca(tmp_path / "certs", tmp_path / "ca.key")
    tls.create_cluster_key(tmp_path / "certs")
    done = run_command("node", "ls", "--url", node.url, "--certs-dir", "certs", home=tmp_path)
    assert complaint(done).startswith(f"{node.url}: its certificate is not to be trusted: ")


def test_a_node_that_is_not_there_is_one_line(small_cluster: Cluster, tmp_path: Path) -> None:
    [node] = small_cluster.nodes
    url = f"https://localhost:{free_port()}"
    done = run_command("node", "ls", "--url", url, "--certs-dir", node.certs_dir, home=tmp_path)
    assert complaint(done).startswith(f"{url}: can't connect: ")


def test_a_node_whose_server_is_down_still_tells_the_status(ask: Ask, small_cluster: Cluster) -> None:
    [server] = small_cluster.servers
    server.stop(immediately=True)
    try:
        [row] = rows_of(ask("node", "status", "--all"))
        assert (row["id"], row["is_live"]) == ("1", "false")
        assert [row[name] for name in (*RANGES, *STATS)] == ["NULL"] * 10
        assert [row[name] for name in DECOMMISSION] == ["NULL", "false", "active", "false"]
        assert complaint(ask("auth-session", "list")).startswith(small_cluster.nodes[0].url)
    finally:
        server.start()
        small_cluster.nodes[0].wait_until_ready()
