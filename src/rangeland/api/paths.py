"""Paths that clients put together from parts: what was meant by `//`, `.` and `..`."""

from __future__ import annotations

import re

PLAIN = re.compile(r"/[A-Za-z0-9_./~-]*")  # of such a path a browser makes nothing but a path of this host


def cleaned_path(path: str) -> str | None:
    """The path without empty, `.` and `..` parts; None where nothing is to be cleaned, or it isn't plain ASCII.

    It begins with exactly one slash, so that as a Location it can't lead to another host. A last slash stays.
    Source: Cluster API v2.0, routing.
    """
    if not PLAIN.fullmatch(path):
        return None
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    cleaned = "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
    return cleaned if cleaned != path else None
