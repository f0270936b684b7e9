"""Every fixture of the tests is a plugin beside this file."""

pytest_plugins = ["fix_engine", "fix_cluster", "fix_fuzz"]
