"""What the source of a wire type says of its fields: their trailing comments, which have no other place.

A comment that goes on in the next line counts as one. A comment on a line of its own after an empty line begins a
section of the type: "additions of ours" marks the fields below it, any other text describes those without a comment.
"""

from __future__ import annotations

import inspect
import io
import re
import tokenize
from dataclasses import dataclass

ADDITIONS = "additions of ours"


@dataclass(frozen=True, slots=True)
class Comment:
    """`text` is "" where nothing is said."""

    text: str
    is_addition: bool = False


def comments_of(type_: type) -> dict[str, Comment]:
    """The comment of each field or member of a class, by name, in their order."""
    found: dict[str, Comment] = {}
    name = section = ""
    joins = False  # a comment on the next line goes on with the last one
    for line in inspect.getsource(type_).splitlines():
        field, comment = _field(line), _comment(line)
        if field:
            name = field
            described = comment or ("" if section == ADDITIONS else section)
            found[name] = Comment(described, section == ADDITIONS)
        elif comment and joins:
            found[name] = Comment(f"{found[name].text} {comment}", found[name].is_addition)
        elif comment:
            section = comment
        joins = bool(comment) and bool(name) and line.strip() != "" and (bool(field) or joins)
    return found


def _field(line: str) -> str:
    """The name that the line declares, in a class's own body; "" for any other line."""
    match = re.match(r" {4}(\w+)(?:: | = )", line)
    return match[1] if match else ""


def _comment(line: str) -> str:
    """The line's comment without its sign; a `#` in a string is none."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(line.strip()).readline))
    except (tokenize.TokenError, IndentationError):
        return ""
    return next((token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT), "")
