"""A statement as readers may see it: its text without passwords, and a form without any constant.

What is a constant is told by PostgreSQL's own scanner (libpg_query, through postgast), which also reads a text that
was cut off, as far as it goes. Where it can't be told, the form is left out. See docs/decisions/0015.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from rangeland.collect.masking import MASK, mask_passwords
from rangeland.collect.text import text_from_bytes

MAX_SQL_BYTES = 1000  # then "…". Source: Cluster API v2.0, /sessions/
CACHED = 1_000  # forms, by text: at most 1,000 × (1 kB of text, 1 kB of form, a summary) = 3 MB
MAX_SCANS = 5  # of one text: each is shorter, by what the one before didn't understand
MAX_SUMMARY_NAMES = 4

_QUOTE, _OPEN, _CLOSE, _DOT, _SEMICOLON, _EQUALS = (ord(sign) for sign in "'().;=")
_LAST_SIGN = 255  # the kind of a sign of one letter is that letter

_Tokens = Sequence[tuple[int, int, int]]  # begin and end in bytes, and kind; comments excepted

_TRANSACTION_WORDS = {"ABORT", "BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"}
_WORD_OF_COMMAND = {
    "SELECT": " FROM",
    "WITH": "",
    "INSERT": " INTO",
    "UPDATE": "",
    "DELETE": " FROM",
    "MERGE": " INTO",
}
_VERBS = {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"}
_BEFORE_A_NAME = {"FROM", "JOIN", "INTO", "UPDATE"}
_NEVER_BEFORE_A_NAME = {"DISTINCT", "FOR", "DO", "ON", "KEY"}  # IS DISTINCT FROM, FOR UPDATE, DO UPDATE, ON UPDATE


class Form(NamedTuple):
    """What a statement is, without its constants."""

    no_constants: str = ""  # "_" for each constant and parameter, no comments; "": unknown
    summary: str = ""  # the command and up to four names, such as "SELECT FROM orders, customers"; "": unknown
    is_one: bool = False  # the text is whole, and one statement that neither begins nor ends a transaction


class Statement(NamedTuple):
    """What readers see of a statement; each text has at most 1,000 bytes and then "…"."""

    sql: str
    form: Form


def statement_from_bytes(raw: bytes | None) -> Statement:
    """Mask, cut, and only then look for constants: no form is made of a text that has a password in it."""
    text = raw or b""
    masked = mask_passwords(text_from_bytes(text[: MAX_SQL_BYTES + 1])).encode()
    is_cut = max(len(text), len(masked)) > MAX_SQL_BYTES
    shown = masked[:MAX_SQL_BYTES].decode(errors="ignore") if is_cut else masked.decode()
    return Statement(f"{shown}…" if is_cut else shown, form_of(shown, is_cut=is_cut))


@lru_cache(maxsize=CACHED)
def form_of(masked: str, *, is_cut: bool = False) -> Form:
    """The form of a text without passwords; `is_cut`: the statement goes on behind it."""
    text, tokens = scanned(masked)
    is_whole = not is_cut and len(text) == len(masked.encode()) and not masked.endswith(MASK)
    if not tokens or any(_may_end_elsewhere(text[start:end]) for start, end, _ in tokens if text[start] == _QUOTE):
        return Form()
    ends = [place for place, (_, _, kind) in enumerate(tokens) if kind == _SEMICOLON]
    first = _Words(text, tokens[: ends[0]] if ends else tokens)
    is_one = len(first.words) + len(ends) == len(tokens) and first.command not in _TRANSACTION_WORDS
    return Form(_without_constants(text, tokens, is_whole=is_whole), first.summary(), is_whole and is_one)


def scanned(text: str) -> tuple[bytes, _Tokens]:
    """As much of the text as the scanner understands, and its tokens."""
    from postgast import PgQueryError, scan  # 8 MB and 30 ms: only in a node that shows statements

    part = text.partition("\0")[0]
    for _ in range(MAX_SCANS):
        try:
            found = scan(part).tokens
        except PgQueryError as exc:
            part = part[: min(exc.cursorpos, len(part)) - 1]  # up to the token that it doesn't understand
            continue
        comments = _kinds().comments
        return part.encode(), [(each.start, each.end, each.token) for each in found if each.token not in comments]
    return b"", []


class _Kinds(NamedTuple):
    constants: frozenset[int]
    names: frozenset[int]
    comments: frozenset[int]
    setting: frozenset[int]  # the keywords that a statement with `SET name = word` begins with
    set: int
    to: int


@cache
def _kinds() -> _Kinds:
    """The scanner's numbers for the kinds of tokens that matter here; a sign's number is its letter."""
    from postgast import pg_query_pb2 as pb

    literals = {pb.FCONST, pb.ICONST, pb.SCONST, pb.USCONST, pb.BCONST, pb.XCONST}
    return _Kinds(
        constants=frozenset(literals | {pb.PARAM, pb.TRUE_P, pb.FALSE_P}),
        names=frozenset({pb.IDENT, pb.UIDENT}),
        comments=frozenset({pb.SQL_COMMENT, pb.C_COMMENT}),
        setting=frozenset({pb.SET, pb.ALTER, pb.CREATE}),
        set=pb.SET,
        to=pb.TO,
    )


def _may_end_elsewhere(literal: bytes) -> bool:
    r"""Whether \' ends a plain string depends on that session's standard_conforming_strings, unknown to us."""
    return b"\\'" in literal


def _without_constants(text: bytes, tokens: _Tokens, *, is_whole: bool) -> str:
    """Blanks and comments become one blank; what isn't whole ends in "…"."""
    constants = _kinds().constants
    values = _setting_values(tokens)
    shown: list[bytes] = []
    end = tokens[0][0]
    for place, (start, next_end, kind) in enumerate(tokens):
        if start > end:
            shown.append(b" ")
        shown.append(b"_" if kind in constants or place in values else text[start:next_end])
        end = next_end
    form = b"".join(shown)
    if is_whole and len(form) <= MAX_SQL_BYTES:
        return form.decode()
    return form[:MAX_SQL_BYTES].decode(errors="ignore") + "…"


def _setting_values(tokens: _Tokens) -> set[int]:
    """The places of the bare words in `SET name = word`, which are constants, too; of all that follows to be sure."""
    kinds = _kinds()
    values: set[int] = set()
    begin = 0
    for end in [*(place for place, token in enumerate(tokens) if token[2] == _SEMICOLON), len(tokens)]:
        if begin < end and tokens[begin][2] in kinds.setting:
            found = [kind for _, _, kind in tokens[begin:end]]
            after_set = begin + found.index(kinds.set) if kinds.set in found else end
            signs = (place + 1 for place in range(after_set, end) if tokens[place][2] in (_EQUALS, kinds.to))
            values.update(place for place in range(next(signs, end), end) if tokens[place][2] > _LAST_SIGN)
        begin = end + 1
    return values


class _Words:
    """The first statement of a text, as words."""

    def __init__(self, text: bytes, tokens: _Tokens) -> None:
        kinds = _kinds()
        self.words = [text[start:end].decode() for start, end, _ in tokens]
        self._kinds = [kind for _, _, kind in tokens]
        self._names = kinds.names
        self._constants = kinds.constants

    @property
    def command(self) -> str:
        return self._keyword(0) if self.words else ""

    def summary(self) -> str:
        """The command and the names that it is about."""
        command = self.command
        if command not in _WORD_OF_COMMAND:
            return self._beginning()
        names = list(dict.fromkeys(self._names_read()))
        if not names:
            return command
        more = ", …" if len(names) > MAX_SUMMARY_NAMES else ""
        return f"{command}{_WORD_OF_COMMAND[command]} {', '.join(names[:MAX_SUMMARY_NAMES])}{more}"

    def _keyword(self, place: int) -> str:
        """In capitals; "" for a name, which is so never taken for a keyword, and for a constant."""
        kind = self._kinds[place]
        return "" if kind in self._names or kind in self._constants else self.words[place].upper()

    def _beginning(self) -> str:
        """The keywords that a command begins with, and the name that follows them."""
        found: list[str] = []
        for place, kind in enumerate(self._kinds):
            if kind in self._names:
                return " ".join([*found, self._name_at(place)])
            if kind in self._constants or not self.words[place][0].isalpha():
                break
            found.append(self._keyword(place))
        return " ".join(found)

    def _names_read(self) -> Iterator[str]:
        """Names behind FROM, JOIN, INTO and UPDATE, but not behind the FROM of `extract(… FROM …)`."""
        in_select = [True]
        for place, (kind, word) in enumerate(zip(self._kinds, self.words, strict=True)):
            if kind == _OPEN:
                in_select.append(False)
            elif kind == _CLOSE:
                in_select = in_select[:-1] or [True]
            elif kind in self._names or kind <= _LAST_SIGN:
                continue
            elif (keyword := word.upper()) in _VERBS:
                in_select[-1] = True
            if kind > _LAST_SIGN and keyword in _BEFORE_A_NAME and in_select[-1]:
                yield from self._name_after(place)

    def _name_after(self, place: int) -> Iterator[str]:
        after = place + 1
        if after < len(self.words) and self._keyword(after) in ("ONLY", "LATERAL"):
            after += 1
        is_so = place == 0 or self._keyword(place - 1) not in _NEVER_BEFORE_A_NAME
        if is_so and after < len(self.words) and self._kinds[after] > _LAST_SIGN and not self._is_constant(after):
            yield self._name_at(after)

    def _is_constant(self, place: int) -> bool:
        return self._kinds[place] in self._constants

    def _name_at(self, place: int) -> str:
        """A name with its dots, such as `sales."Order"`."""
        end = place + 1
        while end + 1 < len(self.words) and self._kinds[end] == _DOT and self._kinds[end + 1] > _LAST_SIGN:
            end += 2
        return "".join("_" if self._is_constant(each) else self.words[each] for each in range(place, end))
