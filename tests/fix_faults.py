"""The fixture `fault_results`, to which tests of faults hand over what they saw (cluster/fault_results.py)."""

from pathlib import Path

import pytest

from cluster.fault_results import FaultResults


@pytest.fixture(scope="session")
def fault_results(request: pytest.FixtureRequest) -> FaultResults:
    """Keeps results only with `--fault-results`."""
    directory = request.config.getoption("--fault-results")
    return FaultResults(Path(directory) if directory else None)
