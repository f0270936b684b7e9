"""Both kinds of paging: limit and offset over a list, and the token that walks from node to node.

Source: Cluster API v2.0, pagination.
"""

import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from msgspec import structs

from rangeland.merge.part import Part
from rangeland.wire.parts import HotPart, ListPart

T = TypeVar("T")
P = TypeVar("P", ListPart, HotPart)

LIMITED_WIDTH: Final = 4  # nodes asked at a time for a page, as the peer
UNLIMITED_WIDTH: Final = 100  # nodes asked at a time for everything, as the peer

_MAX_INT64 = 2**63 - 1
_MAX_UINT32 = 2**32 - 1
_DIGITS = re.compile(r"[0-9]+")


def parse_limit(query_text: str | None) -> int:
    """0, which means all: for what is missing, no number, not positive or larger than an int64."""
    return _parse_count(query_text)


def parse_offset(query_text: str | None) -> int:
    """0 also for what is missing, no number, negative or larger than an int64."""
    return _parse_count(query_text)


def page_offset(items: Sequence[T], limit: int, offset: int) -> tuple[Sequence[T], int]:
    """The page and the offset of the next one, 0 where the end was reached; a limit of 0 means all."""
    if limit <= 0:
        return items, 0
    start = max(offset, 0)
    end = start + limit
    return items[start:end], end if end < len(items) else 0


def window(limit: int, offset: int) -> tuple[int, int | None]:
    """How many rows to pass over and how many to read for `page_of_window`; None: all."""
    return (offset, min(limit, _MAX_INT64 - 1) + 1) if limit > 0 else (0, None)


def page_of_window(rows: Sequence[T], limit: int, offset: int) -> tuple[Sequence[T], int]:
    """As `page_offset`, of rows that begin at the offset and hold one more than the limit if there are more."""
    page, next_offset = page_offset(rows, limit, 0)
    return page, offset + next_offset if next_offset else 0


@dataclass(frozen=True, slots=True)
class PageToken:
    """How far a walk through the nodes has come."""

    queried: tuple[int, ...] = ()  # nodes that are done with
    in_progress: int = 0  # 0: none
    index: int = 0  # the place in that node's list where the next page begins
    to_query: tuple[int, ...] = ()  # in the order in which they will be asked


def parse_token(query_text: str | None) -> PageToken | None:
    """None for what is missing or is no token: the walk then starts from the beginning."""
    try:
        fields = b64decode(query_text or "", altchars=b"-_", validate=True).decode("ascii").split("|")
    except ValueError:  # binascii.Error and UnicodeDecodeError are kinds of it
        return None
    if len(fields) != 4:
        return None
    queried, to_query = _parse_node_ids(fields[0]), _parse_node_ids(fields[3])
    in_progress, index = _parse_natural(fields[1], _MAX_UINT32), _parse_natural(fields[2], _MAX_INT64)
    if queried is None or to_query is None or in_progress is None or index is None:
        return None
    if index and not in_progress:
        return None
    return PageToken(queried, in_progress, index, to_query)


def format_token(token: PageToken) -> str:
    """URL-safe base64 with padding; never empty."""
    queried = "".join(f"{node_id}," for node_id in token.queried)
    to_query = "".join(f"{node_id}," for node_id in token.to_query)
    return urlsafe_b64encode(f"{queried}|{token.in_progress}|{token.index}|{to_query}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Ask:
    """What to ask one node for."""

    node_id: int
    index: int  # the place in its list to begin at
    limit: int  # 0: all


class Paginator:
    """Decides whom to ask for a page and what of their parts belongs to it.

    While `next_asks` gives any, ask those nodes, all at once if you like, and hand each part to `take` in the
    order of the asks. Nodes come in the token's order, those that it doesn't mention after them. A node that
    fails or has nothing is passed by once a later one answers; as the last one it stays in progress, so that
    the next page asks it again. Without a limit the token is ignored and everything belongs to the one page.
    """

    def __init__(self, token: PageToken | None, node_ids: Iterable[int], limit: int) -> None:
        start = token if token is not None and limit > 0 else PageToken()
        queried = dict.fromkeys(start.queried)
        in_progress = [start.in_progress] if start.in_progress and start.in_progress not in queried else []
        self._order = list(dict.fromkeys((*queried, *in_progress, *start.to_query, *node_ids)))
        self._at = len(queried)  # the position in it of the node in progress, or of the first to query
        self._begun = bool(in_progress)
        self._index = start.index if in_progress else 0
        self._ahead = self._at  # the first that wasn't asked for this page, or not for all that it has
        self._limited = limit > 0
        self._wanted = max(limit, 0)

    @property
    def done(self) -> bool:
        """The page is full or no node is left to be asked."""
        return self._full or self._ahead == len(self._order)

    def next_asks(self, width: int | None = None) -> list[Ask]:
        """At most `width` nodes (by default what the peer asks at a time); [] when the page is done."""
        if self._full:
            return []
        width = width or (LIMITED_WIDTH if self._limited else UNLIMITED_WIDTH)
        return [
            Ask(node_id, self._index if position == self._at else 0, self._wanted)
            for position, node_id in enumerate(self._order[self._ahead : self._ahead + width], self._ahead)
        ]

    def take(
        self, node_id: int, count: int, next_index: int, *, failed: bool = False, places: Sequence[int] = ()
    ) -> int | None:
        """How many of a part's `count` items belong to the page, from the first.

        None: nothing of it, not even its error, as the page is full or an earlier node isn't done with.
        `next_index` and `places` are those of the part.
        """
        if self.done or node_id != self._order[self._ahead]:
            return None
        if failed:
            self._ahead += 1
            return 0
        self._begin()
        if count <= 0 and next_index <= self._index:
            self._pass_by()
            return 0
        return self._keep(count, next_index, places)

    def token(self) -> str:
        """Where the next page begins; without a limit, the beginning."""
        if not self._limited:
            return format_token(PageToken())
        queried, rest = self._order[: self._at], self._order[self._at :]
        in_progress = rest.pop(0) if self._begun and rest else 0
        return format_token(PageToken(tuple(queried), in_progress, self._index, tuple(rest)))

    @property
    def _full(self) -> bool:
        return self._limited and self._wanted == 0

    def _begin(self) -> None:
        """Make the node ahead the one in progress; those before it are done with."""
        if self._at != self._ahead:
            self._at, self._index = self._ahead, 0
        self._begun = True

    def _finish(self) -> None:
        """The node in progress is done with, and the next one is in progress."""
        self._at += 1
        self._ahead, self._index = self._at, 0

    def _pass_by(self) -> None:
        """The node in progress had nothing: beyond index 0 its list has ended there, at 0 it is empty."""
        if self._index:
            self._finish()
        else:
            self._ahead += 1

    def _keep(self, count: int, next_index: int, places: Sequence[int]) -> int:
        """Use what fits of the part of the node in progress; always forward, whatever the node says."""
        kept = min(count, self._wanted) if self._limited else count
        self._wanted = max(self._wanted - kept, 0)
        if kept < count:
            place_after = places[kept - 1] + 1 if len(places) == count else 0
            self._index = max(place_after, self._index + kept)
        elif next_index > 0:
            self._index = max(next_index, self._index + count)
        else:
            self._finish()
        return kept


def take_part(paginator: Paginator, part: Part[P]) -> Part[P] | None:
    """The part cut to what belongs to the page, or None if nothing of it does."""
    if part.value is None:
        return part if paginator.take(part.node_id, 0, 0, failed=True) is not None else None
    value = part.value
    count = len(value.items) if isinstance(value, ListPart) else len(value.ranges)
    places = value.places if isinstance(value, ListPart) else ()
    kept = paginator.take(part.node_id, count, value.next_index, places=places)
    if kept is None:
        return None
    return part if kept == count else replace(part, value=_cut(value, kept))


def _cut(value: P, kept: int) -> P:
    if isinstance(value, ListPart):
        return structs.replace(value, items=value.items[:kept], places=value.places[:kept])
    return structs.replace(value, ranges=value.ranges[:kept])


def _parse_count(query_text: str | None) -> int:
    return _parse_natural((query_text or "").removeprefix("+"), _MAX_INT64) or 0


def _parse_natural(digits: str, maximum: int) -> int | None:
    """None unless 0 ≤ number ≤ maximum; the length comes first, as Python refuses very long numbers."""
    significant = digits.lstrip("0")
    if not _DIGITS.fullmatch(digits) or len(significant) > len(str(maximum)):
        return None
    number = int(significant or "0")
    return number if number <= maximum else None


def _parse_node_ids(field: str) -> tuple[int, ...] | None:
    """Ids between commas, blanks passed over, in order; None if one isn't a positive uint32."""
    texts = (text.strip() for text in field.split(","))
    node_ids = [_parse_natural(text, _MAX_UINT32) for text in texts if text]
    if any(not node_id for node_id in node_ids):
        return None
    return tuple(node_id for node_id in node_ids if node_id)
