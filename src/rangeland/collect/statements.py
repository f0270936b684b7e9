"""A statement as readers may see it: its text without passwords, and a form without any constant.

What is a constant is told by PostgreSQL's own scanner (libpg_query, through postgast), which also reads a text that
was cut off, as far as it goes. Where it can't be told, the form is left out. See docs/decisions/0016.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from rangeland.collect.masking import MASK, mask_passwords
from rangeland.collect.text import text_from_bytes

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import ScanToken

MAX_SQL_BYTES = 1000  # then "…". Source: Cluster API v2.0, /sessions/
CACHED = 1_000  # forms, by text: at most 1,000 × (1 kB of text, 1 kB of form, a summary) = 3 MB
MAX_SCANS = 5  # of one text: each is shorter, by what the one before didn't understand
MAX_SUMMARY_NAMES = 4

_TRANSACTION_WORDS = {"ABORT", "BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"}
_WORD_OF_COMMAND = {
    "SELECT": " FROM",
    "WITH": "",
    "INSERT": " INTO",
    "UPDATE": "",
    "DELETE": " FROM",
    "MERGE": " INTO",
}
_BEFORE_A_NAME = {"FROM", "JOIN", "INTO", "UPDATE"}
_NEVER_BEFORE_A_NAME = {"DISTINCT", "FOR", "DO", "ON", "KEY"}  # IS DISTINCT FROM, FOR UPDATE, DO UPDATE, ON UPDATE


class Form(NamedTuple):
    """A statement without its constants."""

    no_constants: str = ""  # "_" for each constant and parameter, no comments; "": unknown
    summary: str = ""  # the command and up to four names, such as "SELECT FROM orders, customers"; "": unknown
    is_one: bool = False  # the text is whole, and one statement that neither begins nor ends a transaction


class Statement(NamedTuple):
    """What readers see of a statement; each text has at most 1,000 bytes and then "…"."""

    sql: str
    form: Form


class Token(NamedTuple):
    """A token of a statement, comments excepted."""

    start: int  # in bytes
    end: int
    is_constant: bool
    is_name: bool
    text: str  # as it was written
    word: str  # in capitals; "" for a name, which is so never taken for a keyword, and for a constant


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
    tokens, is_whole = scanned(masked)
    is_whole &= not is_cut and not masked.endswith(MASK)
    if not tokens or any(_may_end_elsewhere(token) for token in tokens):
        return Form()
    first = _first_statement(tokens)
    is_one = first[0].word not in _TRANSACTION_WORDS and all(token.text == ";" for token in tokens[len(first) :])
    return Form(_without_constants(tokens, is_whole=is_whole), _summary(first), is_whole and is_one)


def scanned(text: str) -> tuple[list[Token], bool]:
    """The tokens, as far as the scanner understands the text, and whether that is all of it."""
    from postgast import PgQueryError, scan  # 8 MB and 30 ms: only in a node that shows statements

    part = text.partition("\0")[0]
    for _ in range(MAX_SCANS):
        try:
            found = scan(part).tokens
        except PgQueryError as exc:
            part = part[: min(exc.cursorpos, len(part)) - 1]  # up to the token that it doesn't understand
            continue
        raw = part.encode()
        return [_token(each, raw) for each in found if each.token not in _kinds().comments], part == text
    return [], False


def _token(scanned: ScanToken, raw: bytes) -> Token:
    start, end, kind = scanned.start, scanned.end, scanned.token
    kinds = _kinds()
    is_constant, is_name = kind in kinds.constants, kind in kinds.names
    text = raw[start:end].decode()
    return Token(start, end, is_constant, is_name, text, "" if is_constant or is_name else text.upper())


class _Kinds(NamedTuple):
    constants: set[int]
    names: set[int]
    comments: set[int]


@cache
def _kinds() -> _Kinds:
    """The scanner's numbers for the kinds of tokens that matter here."""
    from postgast import pg_query_pb2 as pb

    literals = {pb.FCONST, pb.ICONST, pb.SCONST, pb.USCONST, pb.BCONST, pb.XCONST}
    return _Kinds(
        constants=literals | {pb.PARAM, pb.TRUE_P, pb.FALSE_P},
        names={pb.IDENT, pb.UIDENT},
        comments={pb.SQL_COMMENT, pb.C_COMMENT},
    )


def _may_end_elsewhere(token: Token) -> bool:
    r"""Whether \' ends a plain string depends on that session's standard_conforming_strings, unknown to us."""
    return token.text[0] == "'" and "\\'" in token.text


def _first_statement(tokens: Sequence[Token]) -> Sequence[Token]:
    """Up to its semicolon; at least one token."""
    end = next((place for place, token in enumerate(tokens) if place and token.text == ";"), len(tokens))
    return tokens[:end]


def _without_constants(tokens: Sequence[Token], *, is_whole: bool) -> str:
    """Blanks and comments become one blank; what isn't whole ends in "…"."""
    shown: list[str] = []
    end = 0
    for token, is_hidden in zip(tokens, _hidden(tokens), strict=True):
        if shown and token.start > end:
            shown.append(" ")
        shown.append("_" if is_hidden else token.text)
        end = token.end
    text = "".join(shown).encode()
    if is_whole and len(text) <= MAX_SQL_BYTES:
        return text.decode()
    return text[:MAX_SQL_BYTES].decode(errors="ignore") + "…"


def _hidden(tokens: Sequence[Token]) -> Iterator[bool]:
    """For each token whether it is a constant, as also the bare word in `SET name = word` is."""
    command, is_setting, is_value = "", False, False
    for token in tokens:
        yield token.is_constant or (is_value and token.text[0] not in "=,.();")
        if token.text == ";":
            command, is_setting, is_value = "", False, False
        elif not command:
            command = token.word or "?"
            is_setting = command == "SET"
        elif command in ("SET", "ALTER", "CREATE"):
            is_setting |= token.word == "SET"
            is_value |= is_setting and token.word in ("=", "TO")


def _summary(tokens: Sequence[Token]) -> str:
    command = tokens[0].word
    if command not in _WORD_OF_COMMAND:
        return _beginning(tokens)
    names = list(dict.fromkeys(_names_read(tokens)))
    if not names:
        return command
    more = ", …" if len(names) > MAX_SUMMARY_NAMES else ""
    return f"{command}{_WORD_OF_COMMAND[command]} {', '.join(names[:MAX_SUMMARY_NAMES])}{more}"


def _beginning(tokens: Sequence[Token]) -> str:
    """The keywords that a command begins with, and the name that follows them."""
    words: list[str] = []
    for place, token in enumerate(tokens):
        if token.is_name:
            return " ".join([*words, _name_at(tokens, place)])
        if token.is_constant or not token.text[0].isalpha():
            break
        words.append(token.word)
    return " ".join(words)


def _names_read(tokens: Sequence[Token]) -> Iterator[str]:
    """Names behind FROM, JOIN, INTO and UPDATE, but not behind the FROM of `extract(… FROM …)`."""
    in_select = [True]
    for place, token in enumerate(tokens[:-1]):
        if token.text == "(":
            in_select.append(False)
        elif token.text == ")" and len(in_select) > 1:
            in_select.pop()
        elif token.word in ("SELECT", "DELETE", "INSERT", "UPDATE", "MERGE"):
            in_select[-1] = True
        if token.word in _BEFORE_A_NAME and in_select[-1]:
            after = place + (2 if tokens[place + 1].word in ("ONLY", "LATERAL") else 1)
            is_so = place == 0 or tokens[place - 1].word not in _NEVER_BEFORE_A_NAME
            if is_so and after < len(tokens) and tokens[after].text[0] != "(" and not tokens[after].is_constant:
                yield _name_at(tokens, after)


def _name_at(tokens: Sequence[Token], place: int) -> str:
    """A name with its dots, such as `sales."Order"`."""
    end = place + 1
    while end + 1 < len(tokens) and tokens[end].text == "." and tokens[end + 1].text != "*":
        end += 2
    return "".join("_" if token.is_constant else token.text for token in tokens[place:end])
