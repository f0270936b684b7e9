"""A whole client, generated from the document, with which a user logs in, reads, and logs out."""

from __future__ import annotations

import importlib
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fix_cluster import Api
from rangeland.engine.cluster import Cluster
from rangeland.openapi.written import SERVED

DOCUMENT = Path(__file__).parents[2] / SERVED / "openapi.json"
PACKAGE = "generated_client"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The generated package; the generator says where it had to leave something out."""
    path = tmp_path_factory.mktemp("client")
    bin_dir = Path(sys.executable).parent
    argv: list[str | Path] = [bin_dir / "openapi-python-client", "generate", "--path", DOCUMENT, "--meta", "none"]
    environ = {**os.environ, "PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}"}  # it runs ruff
    done = subprocess.run(
        [*argv, "--output-path", path / PACKAGE, "--fail-on-warning"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(path))
    try:
        return importlib.import_module(f"{PACKAGE}.client")
    finally:
        sys.path.remove(str(path))


def operation(client: Any, tag: str, name: str) -> Any:
    """The module of one operation."""
    return importlib.import_module(f"{client.__package__}.api.{tag}.{name}")


def test_a_user_logs_in_reads_and_logs_out(client: Any, cluster: Cluster, apis: list[Api]) -> None:
    models = importlib.import_module(f"{client.__package__}.models")
    where = {"base_url": apis[0].url, "verify_ssl": ssl.create_default_context(cafile=str(cluster.ca_cert))}
    form = models.LogInBody(username=cluster.username, password=cluster.password)
    with client.Client(**where) as anybody:
        token = operation(client, "login", "log_in").sync(client=anybody, body=form).session
    header = {"prefix": "", "auth_header_name": "X-Cockroach-API-Session"}
    with client.AuthenticatedClient(**where, token=token, **header) as user:
        require_reads(client, user)
        assert operation(client, "login", "log_out").sync(client=user).logged_out
        refused = operation(client, "nodes", "list_nodes").sync_detailed(client=user)
        assert refused.status_code == 401
        assert refused.parsed == "the provided authentication session could not be validated\n"


def require_reads(client: Any, user: Any) -> None:
    """Lists, both kinds of pages, and maps by number."""
    nodes = operation(client, "nodes", "list_nodes").sync(client=user)
    assert [node.node_id for node in nodes.nodes] == [1, 2, 3]
    assert nodes.nodes[0].store_metrics["1"]["capacity"] > 0
    first = operation(client, "sessions", "list_sessions").sync(client=user, limit=1)
    second = operation(client, "sessions", "list_sessions").sync(client=user, limit=1, start=first.next_)
    assert first.sessions[0].id != second.sessions[0].id
    page = operation(client, "ranges", "list_node_ranges").sync(client=user, node_id="local", limit=2)
    assert (len(page.ranges), page.next_) == (2, 2)
    detail = operation(client, "ranges", "show_range").sync(client=user, range_id=page.ranges[0].desc.range_id)
    assert sorted(detail.responses_by_node_id.additional_keys) == ["1", "2", "3"]
