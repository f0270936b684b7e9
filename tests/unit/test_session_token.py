"""The session token, byte for byte as clients know it."""

import base64

import pytest

from rangeland.auth.session_token import MalformedTokenError, decode_token, encode_token

SAMPLE = "CIGAiPis4fj3CBIQ3u0rRQJ3tD8yIqee4hipow=="  # Source: Cluster API v2.0, /login/
SAMPLE_ID = 643982907299463169
SAMPLE_SECRET = bytes.fromhex("deed2b450277b43f3222a79ee218a9a3")


def test_the_references_sample_token_decodes_to_its_id_and_secret() -> None:
    assert decode_token(SAMPLE) == (SAMPLE_ID, SAMPLE_SECRET)


def test_the_references_id_and_secret_encode_to_its_sample_token() -> None:
    assert encode_token(SAMPLE_ID, SAMPLE_SECRET) == SAMPLE


@pytest.mark.parametrize("session_id", [0, 1, 127, 128, 2**31, 2**62, 2**63 - 1])
def test_every_id_survives_the_way_there_and_back(session_id: int) -> None:
    assert decode_token(encode_token(session_id, SAMPLE_SECRET)) == (session_id, SAMPLE_SECRET)


@pytest.mark.parametrize(
    ("token", "byte"),
    [("yes", 0), ("a", 0), ("€", 0), ("CIGA iPis", 4), ("CIGAiPis4", 8), (SAMPLE[:-1], 36)],
)
def test_what_is_not_base64_is_told_apart_with_its_place(token: str, byte: int) -> None:
    with pytest.raises(MalformedTokenError, match=f"^illegal base64 data at input byte {byte}$"):
        decode_token(token)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x08",
        b"\x08\x01",
        b"\x12\x10" + bytes(16),
        b"\x08\x01\x12\x0f" + bytes(15),
        b"\x08\x01\x12\x10" + bytes(15),
        b"\x08\x01\x12\x10" + bytes(17),
        b"\x08" + b"\xff" * 10 + b"\x12\x10" + bytes(16),
    ],
)
def test_base64_of_anything_else_is_no_token(message: bytes) -> None:
    assert decode_token(base64.b64encode(message).decode()) is None
