"""--patroni-url: an address without a secret, checked before anything is begun."""

from __future__ import annotations

import pytest

from rangeland.config import resolve_settings
from rangeland.errors import SettingError
from rangeland.node.settings import node_settings


def patroni_url(text: str) -> str | None:
    flags = {"server_url": "postgresql://localhost/postgres", "patroni_url": text}
    return node_settings(resolve_settings("start", flags, {}, {})).patroni_url


def test_its_last_slash_does_not_count() -> None:
    assert patroni_url("http://127.0.0.1:8008/") == patroni_url("http://127.0.0.1:8008") == "http://127.0.0.1:8008"


def test_without_one_no_patroni_is_asked() -> None:
    assert patroni_url("") is None


@pytest.mark.parametrize("text", ["127.0.0.1:8008", "http://user:secret@pg1:8008", "http://pg1/cluster", "file:///x"])
def test_what_is_no_address_of_an_api_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(SettingError) as refused:
        patroni_url(text)
    assert "--patroni-url must be" in str(refused.value)
    assert "secret" not in str(refused.value)
