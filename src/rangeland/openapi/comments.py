"""What the source of a wire type says of its fields: their comments, which have no other place.

A comment that goes on in the next line counts as one; what follows "Source:" is ours and not told. A comment on a
line of its own after an empty line begins a section of the type: "additions of ours" marks the fields below it, any
other text describes those without a comment.
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
    texts: dict[str, list[str]] = {}  # of each field, line by line
    sections: dict[str, str] = {}  # of each field: the section that it stands in
    name = section = ""
    begins_section = False  # the line before was empty
    for line in inspect.getsource(type_).splitlines():
        name = _field(line) or name
        comment = _comment(line)
        if _field(line):
            texts[name], sections[name] = [comment], section
        elif comment and begins_section and line.lstrip().startswith("#"):
            section = comment
        elif comment and name:
            texts[name].append(comment)
        begins_section = not line.strip()
    return {field: _described(" ".join(texts[field]), sections[field]) for field in texts}


def _described(text: str, section: str) -> Comment:
    told = text.partition("Source:")[0].strip()
    if section == ADDITIONS:
        return Comment(told, is_addition=True)
    return Comment(told or section)


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
