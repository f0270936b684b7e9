"""Our own document of the API against the nodes: what it allows is answered as it says, and so is what it forbids.

schemathesis makes the requests, as a process of its own: it brings warnings and a pytest plugin that the rest of the
tests can do without.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fix_cluster import Api, add_user, apis_of, log_in, running_cluster
from fix_fuzz import Fuzz, Watch
from rangeland.engine.cluster import Cluster

HOOKS = Path(__file__).parents[1] / "openapi_checks.py"
EXAMPLES = 5  # of each kind an operation; the borders of each parameter come on top
CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
    "only_named_server_errors",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of our own: its logins are refused so often that this address has to wait."""
    with running_cluster(1) as made:
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


def run_schemathesis(
    cluster: Cluster, api: Api, directory: Path, token: str, *selection: str, seed: int, examples: int
) -> int:
    """How many cases were tried; fails with the report where one didn't conform."""
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{api.url}/api/v2/openapi.json"),
        *("--header", f"X-Cockroach-API-Session: {token}", "--tls-verify", str(cluster.ca_cert)),
        *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--mode", "all"),
        *("--max-examples", str(examples), "--seed", str(seed), "--max-response-time", "5", "--continue-on-failure"),
        *("--generation-database", "none", "--warnings", "off", "--no-color", *selection),
    ]
    env = {**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)}
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated, done.stdout
    return int(generated[1])


@pytest.mark.timeout(300)  # three processes that start slowly where others need the cores
def test_every_operation_conforms_to_the_document(
    fuzz: Fuzz, cluster: Cluster, apis: list[Api], tmp_path: Path
) -> None:
    """Logging in comes last, and logging out with a session of its own: both would end the others' tests."""
    add_user(cluster, "leaver")
    reader, leaver = (log_in(cluster, apis[0], name) for name in (cluster.username, "leaver"))
    watch = Watch(cluster, fuzz, "document")
    selections = (
        (reader, "--exclude-operation-id", "log_out", "--exclude-operation-id", "log_in"),
        (leaver, "--include-operation-id", "log_out"),
        (leaver, "--include-operation-id", "log_in"),
    )
    for round_ in fuzz.rounds_of_time():
        examples = EXAMPLES if not fuzz.seconds_each else EXAMPLES * 40
        for token, *selection in selections:
            seed = fuzz.seed + round_ if fuzz.seconds_each else 1
            count = run_schemathesis(cluster, apis[0], tmp_path, token, *selection, seed=seed, examples=examples)
            assert count >= 5
            fuzz.documented += count
        watch.require_steady()
