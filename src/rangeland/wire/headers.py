"""What a request's headers say, for the API and the console alike."""

import re


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header names gzip, or everything, without a weight of zero."""
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.partition(";")
        weight = re.search(r"q\s*=\s*([^;]*)", parameters)
        weights[name.strip()] = _number(weight[1]) if weight else 1.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def has_answer(if_none_match: str, etag: str) -> bool:
    """Whether a client has the answer with this strong ETag. A proxy that compresses may have made it a weak one."""
    marks = [mark.strip().removeprefix("W/") for mark in if_none_match.split(",")]
    return etag in marks or "*" in marks


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
