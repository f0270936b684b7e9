"""Cleaning of paths: where a redirect may lead."""

from __future__ import annotations

import pytest

from rangeland.api.paths import cleaned_path


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("//a", "/a"),
        ("/a//b/", "/a/b/"),
        ("/a/./b", "/a/b"),
        ("/a/../b/", "/b/"),
        ("/../../..", "/"),
        ("//", "/"),
        ("/a/b/..", "/a"),
    ],
)
def test_leaves_out_empty_parts_and_walks_up(path: str, cleaned: str) -> None:
    assert cleaned_path(path) == cleaned


@pytest.mark.parametrize("path", ["/", "/a", "/a/", "/a.b/..c/", "", "*", "a//b"])
def test_leaves_a_clean_path_alone(path: str) -> None:
    assert cleaned_path(path) is None


@pytest.mark.parametrize(
    "path", ["/\\evil.example//", "//evil.example/\r\nX: y", "//\t/evil.example", "//evil@x", "//é"]
)
def test_what_is_no_plain_path_leads_nowhere(path: str) -> None:
    assert cleaned_path(path) is None


@pytest.mark.parametrize(
    "path", ["//evil.example/", "///evil.example//..", "/.//evil.example", "/a/..//evil.example"]
)
def test_a_location_begins_with_one_slash(path: str) -> None:
    found = cleaned_path(path)
    assert found is not None
    assert found.startswith("/")
    assert not found.startswith("//")
