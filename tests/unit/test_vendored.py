"""What other people's files the console has: those that the table names, as they were when they were fetched."""

import base64
import hashlib
import re

import pytest

from vendoring import refresh
from vendoring.packages import PACKAGES, Package

FILES = {path.name: path.read_bytes() for path in refresh.VENDOR.iterdir() if path.name != "README.md"}


def test_the_readme_names_every_package_and_every_file_with_its_hash() -> None:
    """A file that was edited, added or forgotten, and a table that moved on alone, are seen here."""
    assert (refresh.VENDOR / "README.md").read_text("utf-8") == refresh.readme(PACKAGES, FILES)
    assert set(FILES) == {file.name for package in PACKAGES for file in package.files}


def test_every_package_keeps_its_licence() -> None:
    for package in PACKAGES:
        text = next(FILES[file.name] for file in package.files if file.source == "LICENSE").decode("utf-8")
        assert {"MIT": "Permission is hereby granted", "Apache-2.0": "Apache License"}[package.licence] in text


def test_no_vendored_file_names_a_source_map() -> None:
    assert [name for name, content in FILES.items() if re.search(rb"sourceMappingURL", content)] == []


def test_an_archive_with_another_hash_is_refused() -> None:
    archive = b"some archive"
    right = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode("ascii")
    refresh.require_integrity(Package("p", "1", "MIT", right, ()), archive)
    with pytest.raises(ValueError, match=r"p 1 has the hash sha512-.*packages.py says sha512-other"):
        refresh.require_integrity(Package("p", "1", "MIT", "sha512-other", ()), archive)
