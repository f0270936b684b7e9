"""Answers as HTTP: which are compressed, and how often."""

import asyncio

import pytest

from rangeland.api import replies
from rangeland.api.replies import GZIP_IN_THREAD_FROM_BYTES, Body
from rangeland.wire.headers import takes_gzip


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("*", True),
        ("identity", False),
        ("gzip;q=x", False),
        ("x-gzip", False),
    ],
)
def test_gzip_is_sent_to_who_names_it_without_a_weight_of_zero(header: str, takes: bool) -> None:
    assert takes_gzip(header) is takes


@pytest.mark.parametrize("size_bytes", [2000, GZIP_IN_THREAD_FROM_BYTES + 1])
def test_a_shared_answer_is_compressed_once(monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    sizes: list[int] = []

    def compress(plain: bytes) -> bytes:
        sizes.append(len(plain))
        return b"packed"

    async def scenario() -> list[bytes]:
        body = Body(b"x" * size_bytes)
        return await asyncio.gather(*(body.gzipped() for _ in range(8)))

    monkeypatch.setattr(replies, "_compress", compress)
    assert asyncio.run(scenario()) == [b"packed"] * 8
    assert sizes == [size_bytes]
