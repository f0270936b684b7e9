"""One way to write JSON and one to read it: compact, UTF-8, `<>&` as they are, no NaN (see `number`)."""

from typing import Any, TypeVar

import msgspec
from msgspec import DecodeError

__all__ = ["DecodeError", "decode", "encode"]

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()


def encode(value: Any) -> bytes:
    """One line without a final newline; integer keys of a mapping become strings, `bytes` become base64."""
    return _ENCODER.encode(value)


def decode(type_: type[T], data: bytes | bytearray | memoryview | str) -> T:
    """Fields that `type_` doesn't know are passed over, so that a newer node can be read.

    A `msgspec.Raw` in the result is a window into `data` and keeps it in memory.
    Raises: DecodeError, where `data` isn't JSON or isn't a `type_`.
    """
    try:
        return msgspec.json.decode(data, type=type_)
    except UnicodeDecodeError as exc:  # msgspec's own, of a text; it is no DecodeError
        raise DecodeError("a text in it is not UTF-8") from exc
    except RecursionError as exc:
        raise DecodeError("it is too deep") from exc
