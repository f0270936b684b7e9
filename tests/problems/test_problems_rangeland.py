"""What can be wrong with the nodes themselves."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import rangeland
from fix_cluster import free_ports, wait_until
from fix_commands import run_command
from fix_problems import Clinic, Found, clinic
from rangeland.engine.cluster import HOSTS
from rangeland.engine.node import NodeProcess
from rangeland.engine.server import PostgresServer
from rangeland.tls import create_client, create_node

LEFT = timedelta(days=20)
DAY_S = 86400.0


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(3) as made:
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.require_well()


def restart(node: NodeProcess) -> None:
    node.stop()
    node.start()
    node.wait_until_ready()


@contextmanager
def running_otherwise(node: NodeProcess, python_path: Path) -> Iterator[None]:
    """The node with modules of another directory before its own, as it should be again afterwards."""
    node.env = {"PYTHONPATH": str(python_path), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        restart(node)
        yield
    finally:
        node.env = {}
        restart(node)


def certs_of(sick: Clinic, node: int) -> Path:
    certs_dir = sick.cluster.nodes[node - 1].certs_dir
    assert certs_dir is not None
    return certs_dir


def ca_key(sick: Clinic) -> Path:
    return certs_of(sick, 1).parent / "ca.key"


# clocks

SHIFTED = """
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {off_s}
time.time_ns = lambda: _time_ns() + {off_s} * 10**9
"""


@pytest.mark.parametrize("off_s", [60, -60])
def test_a_node_whose_clock_is_off_is_told_alike_by_every_node(sick: Clinic, tmp_path: Path, off_s: int) -> None:
    (tmp_path / "sitecustomize.py").write_text(SHIFTED.format(off_s=off_s), "utf-8")
    with running_otherwise(sick.cluster.nodes[1], tmp_path):
        for asked in (1, 2, 3):
            problem = sick.only("clock_skewed", node=asked)
            assert (problem["node_id"], problem["severity"]) == (2, "warning")
            assert problem["evidence"]["clock_offset_s"] == pytest.approx(off_s, abs=2)


def test_a_clock_that_is_off_by_less_than_an_answer_may_take_is_no_problem(sick: Clinic, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SHIFTED.format(off_s=3), "utf-8")
    with running_otherwise(sick.cluster.nodes[1], tmp_path):

        def offset_s() -> float | None:
            offset: float | None = sick.apis[0].get("nodes/", sick.token).json["nodes"][1].get("clock_offset_seconds")
            return offset

        wait_until(lambda: offset_s() is not None, "the node that was started again was heard")
        assert offset_s() == pytest.approx(3, abs=1)
        sick.require_well()


# certificates


def test_a_nodes_certificate_near_its_end_is_told_renewed_and_read_again(sick: Clinic) -> None:
    certs_dir = certs_of(sick, 2)
    create_node(certs_dir, ca_key(sick), HOSTS, lifetime=LEFT, overwrite=True)
    problem = sick.only("certificate_near_end", node=3)
    assert (problem["node_id"], problem["object"], problem["severity"]) == (2, "node.crt", "warning")
    assert problem["evidence"]["left_s"] == pytest.approx(LEFT.total_seconds(), abs=60)
    assert datetime.fromisoformat(problem["evidence"]["ends_at"]) == pytest.approx(
        datetime.now(UTC) + LEFT, abs=timedelta(minutes=1)
    )
    assert "shell" not in problem
    create_node(certs_dir, ca_key(sick), HOSTS, overwrite=True)


def test_a_node_that_serves_an_old_certificate_beside_a_new_file_has_to_read_it_again(sick: Clinic) -> None:
    certs_dir, node = certs_of(sick, 2), sick.cluster.nodes[1]
    create_node(certs_dir, ca_key(sick), HOSTS, lifetime=timedelta(days=2), overwrite=True)
    restart(node)
    assert sick.only("certificate_near_end")["severity"] == "critical"
    create_node(certs_dir, ca_key(sick), HOSTS, overwrite=True)

    def is_to_be_read_again() -> bool:
        return "shell" in sick.only("certificate_near_end")

    wait_until(is_to_be_read_again, "the file is new")
    problem = sick.only("certificate_near_end")
    assert problem["shell"] == f"kill -HUP {node.pid}"
    assert "node.crt holds a newer one" in problem["summary"]
    sick.follow(problem)
    sick.require_well()


def test_a_clients_certificate_in_the_nodes_directory_is_told_too(sick: Clinic) -> None:
    certs_dir = certs_of(sick, 3)
    written = create_client(certs_dir, ca_key(sick), "somebody", lifetime=timedelta(days=29))
    try:
        problem = sick.only("certificate_near_end")
        assert (problem["node_id"], problem["object"]) == (3, "client.somebody.crt")
        written += create_client(certs_dir, ca_key(sick), "somebody", lifetime=timedelta(days=31), overwrite=True)
        sick.require_well()
    finally:
        for path in written:
            path.unlink(missing_ok=True)


def test_an_authority_near_its_end_is_one_problem_of_all_nodes() -> None:
    with clinic(2, limits={"certificate_left_s": 3640 * DAY_S}) as made:

        def kinds() -> dict[str, Found]:
            return {each["object"]: each for each in made.problems() if each["kind"] == "certificate_near_end"}

        assert "ca.crt" not in kinds()
    with clinic(2, limits={"certificate_left_s": 3660 * DAY_S}) as made:
        told = [each for each in made.problems() if each["object"] == "ca.crt"]
        assert [(each.get("node_id"), each["evidence"]["nodes"]) for each in told] == [(None, "1, 2")]


# privileges


def lacking_everywhere(sick: Clinic) -> Found:
    """The problem of a privilege, once every node's server has replayed that it is gone."""

    def is_told() -> bool:
        return [each["evidence"]["nodes"] for each in sick.problems() if each["kind"] == "privilege_missing"] == [
            "1, 2, 3"
        ]

    wait_until(is_told, "every node lacks it")
    return sick.only("privilege_missing")


def test_a_role_that_lost_pg_monitor_is_told_once_and_gets_it_back(sick: Clinic) -> None:
    sick.sql("REVOKE pg_monitor FROM rangeland")
    problem = lacking_everywhere(sick)
    assert (problem["object"], problem["evidence"]["privilege"]) == ("rangeland", "pg_monitor")
    assert problem["sql"] == 'GRANT pg_monitor TO "rangeland"'
    sick.follow(problem)
    sick.require_well()


def test_a_role_without_its_schema_is_told_once_and_gets_it_back(sick: Clinic) -> None:
    sick.sql("REVOKE USAGE ON SCHEMA rangeland FROM rangeland")
    try:
        problem = lacking_everywhere(sick)
        assert problem["evidence"]["privilege"] == "schema rangeland"
        wait_until(lambda: sick.problems() and _was_refused_a_session(sick.server()), "the caller is looked up anew")
        assert sick.only("privilege_missing") == problem
        sick.follow(problem)
    finally:
        sick.sql("GRANT USAGE ON SCHEMA rangeland TO rangeland")
    sick.require_well()


def _was_refused_a_session(server: PostgresServer) -> bool:
    return re.search(r"STATEMENT: .*hashed_secret", server.log.read_text("utf-8")) is not None


# versions


def test_a_node_of_another_version_is_a_note_until_it_is_upgraded(sick: Clinic, tmp_path: Path) -> None:
    shutil.copytree(Path(rangeland.__file__).parent, tmp_path / "rangeland")
    about = tmp_path / "rangeland" / "__init__.py"
    about.write_text(about.read_text("utf-8").replace(rangeland.__version__, "0.0.9"), "utf-8")
    with running_otherwise(sick.cluster.nodes[2], tmp_path):
        problem = sick.only("rangeland_versions_differ")
        assert (problem["severity"], problem.get("node_id")) == ("info", None)
        own = f"v{rangeland.__version__}"
        assert problem["evidence"] == {"node_1": own, "node_2": own, "node_3": "v0.0.9"}


# who belongs where


@contextmanager
def another_node(sick: Clinic, server: PostgresServer) -> Iterator[NodeProcess]:
    """One more node beside that server, with the certificates and the key of the first."""
    first, port = sick.cluster.nodes[0], free_ports(1)
    text = first.config.read_text("utf-8")
    text = text.replace(f":{sick.server(1).port}/", f":{server.port}/")
    text = text.replace(f'"localhost:{sick.server(1).port}"', f'"localhost:{server.port}"')
    settings = tomllib.loads(text)
    settings["http_addr"] = settings["advertise_http_addr"] = f"localhost:{port}"
    settings["join"] = ",".join(node.address for node in sick.cluster.nodes)
    node = NodeProcess(
        sick.cluster.workplace,
        server,
        name=f"another{port}",
        http_port=port,
        certs_dir=first.certs_dir,
        settings=settings,
    )
    node.start()
    try:
        yield node
    finally:
        node.kill()


def test_two_nodes_beside_one_server_are_one_problem_until_one_has_ended(tmp_path: Path) -> None:
    with clinic(2) as made:
        old = made.cluster.nodes[1]
        old.stop()
        with another_node(made, made.server(2)) as new:
            new.wait_until_ready()
            old.start()
            wait_until(lambda: made.only("node_in_doubt")["node_id"] == 2, "both tell it, and one is shown")
            problem = made.only("node_in_doubt")
            assert new.address in problem["summary"]
            assert "is beside the same server" in problem["summary"]
        certs_dir = made.cluster.nodes[0].certs_dir or ""
        environment = {"RANGELAND_NODE_URL": made.cluster.nodes[0].url, "RANGELAND_CERTS_DIR": certs_dir}
        done = run_command("node", "decommission", "3", home=tmp_path, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        made.require_well()


def test_a_node_beside_a_copy_of_the_cluster_says_who_refuses_it(tmp_path: Path) -> None:
    """It is asked itself, as `rangeland doctor` does on its host: the others never take it for theirs."""
    with clinic(1) as made:
        refuse_a_copy(made, tmp_path)


def refuse_a_copy(sick: Clinic, tmp_path: Path) -> None:
    clone = PostgresServer(
        sick.cluster.workplace, sick.server(1).binaries, name=f"clone{free_ports(1)}", port=free_ports(1)
    )
    try:
        clone.become_standby(sick.server(1))
        clone.promote()
        with another_node(sick, clone) as node:
            environment = {"RANGELAND_NODE_URL": node.url, "RANGELAND_CERTS_DIR": node.certs_dir or ""}

            def doctor() -> str:
                return run_command("doctor", "--format", "tsv", home=tmp_path, **environment).stdout

            wait_until(lambda: "this node is refused by localhost:" in doctor(), "it says who refuses it")
            assert "node_in_doubt" in doctor()
            assert "node_in_doubt" not in {each["kind"] for each in sick.problems()}
    finally:
        clone.remove()
