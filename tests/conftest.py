"""Every fixture of the tests is a plugin beside this file."""

import pytest

pytest_plugins = ["fix_engine", "fix_cluster", "fix_fuzz", "fix_faults", "fix_chaos", "fix_browser"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-golden", action="store_true", help="write the golden answers anew instead of comparing")
    parser.addoption("--fault-results", help="keep what the tests of faults saw in this directory: see make faults")
