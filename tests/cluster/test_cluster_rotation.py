"""Certificates, the authority and the cluster key are replaced while the cluster is used.

The commands are those of docs/howto/certificates.md.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from fix_cluster import Api, apis_of, log_in, running_cluster, wait_until
from howto import programs_of
from rangeland import tls
from rangeland.engine.cluster import Cluster
from rangeland.engine.node import NodeProcess

PAGE = "certificates.md"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(3) as made:
        yield made


def certs_of(node: NodeProcess) -> Path:
    assert node.certs_dir is not None
    return Path(node.certs_dir)


def is_refused(api: Api, token: str) -> bool:
    return api.get("nodes/", token).status == 401


def run_program(source: str, directory: Path) -> None:
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory)}
    argv = ["bash", "-eu", "-c", source]
    done = subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def renew(node: NodeProcess) -> None:
    """Make a node read its files again; returns once it has."""
    before = node.log.read_text("utf-8").count("cluster key read again")
    os.kill(node.pid, signal.SIGHUP)
    wait_until(
        lambda: node.log.read_text("utf-8").count("cluster key read again") > before, f"{node.name} has read them"
    )


@contextmanager
def nobody_notices(cluster: Cluster, token: str) -> Iterator[None]:
    """Ask all nodes for everything and log in all the while; each answer must be complete."""
    stop = threading.Event()
    troubles: list[str] = []
    rounds = 0

    def is_whole(api: Api) -> bool:
        return [each["liveness_status"] for each in api.get("nodes/", token).json["nodes"]] == [3, 3, 3]

    for api in apis_of(cluster):
        wait_until(partial(is_whole, api), "the last test's restarts are forgotten")

    def ask() -> None:
        nonlocal rounds
        while not stop.is_set():
            for api in apis_of(cluster):
                sessions = api.get("sessions/", token)
                nodes = api.get("nodes/", token)
                if sessions.status != 200 or sessions.json["errors"]:
                    troubles.append(sessions.text[:300])
                if nodes.status != 200 or [each["liveness_status"] for each in nodes.json["nodes"]] != [3, 3, 3]:
                    troubles.append(nodes.text[:300])
                login = api.log_in(cluster.username, cluster.servers[0].password_by_user[cluster.username])
                if login.status != 200:
                    troubles.append(login.text[:300])
            rounds += 1

    prober = threading.Thread(target=ask)
    prober.start()
    try:
        yield
    finally:
        before = rounds
        wait_until(lambda: rounds > before + 1 or not prober.is_alive(), "a last round", timeout_s=30)
        stop.set()
        prober.join()
    assert rounds > before
    assert troubles == []


def test_the_cluster_key_is_replaced_and_nobody_notices(cluster: Cluster) -> None:
    """Sessions of the old key end with the last step, and only then; what the old key signs is refused."""
    [first, *_] = cluster.nodes
    apis = apis_of(cluster)
    old_token = log_in(cluster, apis[0], cluster.username)
    home = cluster.workplace.make_directory("rotated")
    own = Path(shutil.copytree(certs_of(first), home / "certs"))
    [program] = programs_of(PAGE, "Replace the cluster key")
    add, use, drop = program.splitlines()

    def take(step: str) -> None:
        run_program(step, home)
        for node in cluster.nodes:
            target = certs_of(node) / "cluster.key"
            target.write_bytes((own / "cluster.key").read_bytes())
            renew(node)

    with nobody_notices(cluster, old_token):
        take(add)
        take(use)
    new_token = log_in(cluster, apis[1], cluster.username)
    assert [api.get("nodes/", old_token).status for api in apis] == [200, 200, 200]
    with nobody_notices(cluster, new_token):
        take(drop)
    for api in apis:
        wait_until(partial(is_refused, api, old_token), "the old key's session is refused")
        assert api.get("nodes/", new_token).status == 200

    first.stop()
    first.start()
    first.wait_until_ready()
    assert apis[0].get("nodes/", new_token).status == 200


def test_a_node_that_missed_a_rotation_says_so_and_does_not_start(cluster: Cluster) -> None:
    third = cluster.nodes[2]
    kept = (certs_of(third) / "cluster.key").read_bytes()
    third.stop()
    tls.create_cluster_key(certs_of(third), overwrite=True)
    try:
        third.start()
        wait_until(lambda: not third.is_running, "the node ends")
        assert "cluster.key is not the key of this server's cluster" in third.last_words()
    finally:
        (certs_of(third) / "cluster.key").write_bytes(kept)
        third.start()
        third.wait_until_ready()


def test_the_authority_is_replaced_and_nobody_notices(cluster: Cluster) -> None:
    """Clients get the new ca.crt before any node shows a certificate of the new authority."""
    assert cluster.ca_cert is not None
    token = log_in(cluster, apis_of(cluster)[0], cluster.username)
    home = cluster.workplace.make_directory("authority")
    own = Path(shutil.copytree(certs_of(cluster.nodes[0]), home / "certs"))
    (home / "safe").mkdir()
    shutil.copy(cluster.workplace.path / "certs" / "ca.key", home / "safe")
    [make_authority] = programs_of(PAGE, "Replace the authority")
    run_program(make_authority, home)
    [make_certificate] = programs_of(PAGE, "Renew a node's certificate")
    make_certificate = make_certificate.partition("\nkill ")[0].replace("pg1.example.com ", "")
    shutil.copyfile(own / "ca.crt", cluster.ca_cert)
    with nobody_notices(cluster, token):
        for node in cluster.nodes:
            shutil.copyfile(own / "ca.crt", certs_of(node) / "ca.crt")
            renew(node)
        for node in cluster.nodes:
            run_program(make_certificate.replace("--certs-dir node1", f"--certs-dir '{certs_of(node)}'"), home)
            renew(node)
