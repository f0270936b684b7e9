"""Removes passwords from the texts of statements before anybody sees them.

A password is: the string behind `PASSWORD` or `… password =`, the connection string behind `CONNECTION`
(subscriptions), every string in the `OPTIONS (…)` of a user mapping or a foreign server, and the password of
a URL. Where a statement stands inside a string (`DO`, `EXECUTE`, `format`, `dblink`), nobody can tell which
string is the password: everything from the keyword on is masked. Too much is masked rather than too little.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MASK = "********"  # as libpq shows a password

_SUSPECT = re.compile(r"passw(?:or)?d|connection|conninfo|options|://", re.IGNORECASE)
_TOKEN = re.compile(
    r"""
    (?P<blank>   \s+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
  | (?P<string>  (?P<prefix>[eExXbBnN]|[uU]&)?'(?:[^'\\]|\\.|'')*(?:'|\\?\Z)
               | (?P<fence>\$(?:[^\W\d]\w*)?\$).*?(?:(?P=fence)|\Z) )
  | (?P<quoted>  "[^"]*(?:"|\Z) )
  | (?P<word>    [^\W\d][\w$]* )
  | (?P<sign>    . )
    """,
    re.VERBOSE | re.DOTALL,
)
_INSIDE_A_STRING = re.compile(
    r"passw(?:or)?d|conninfo|(?<=subscription)\b.*\bconnection|(?:mapping|server)\b.*\boptions",
    re.IGNORECASE | re.DOTALL,
)
_URL_PASSWORD = re.compile(r"(://[^\s/:@']*:)(?:[^\s']*@|[^\s']+\Z)")
_BEFORE_A_PASSWORD = ("password", "passwd", "connection", "conninfo")  # ends of words
_WITH_OPTIONS = {"mapping", "server"}


def mask_passwords(statement: str) -> str:
    """Return the statement with `MASK` for every password; the text may have been cut off anywhere."""
    if not _SUSPECT.search(statement):
        return statement
    return _URL_PASSWORD.sub(rf"\g<1>{MASK}@", _Masking(statement).masked())


@dataclass
class _Masking:
    """One walk over a statement's tokens."""

    statement: str
    words: set[str] = field(default_factory=set)  # of the statement so far, in lower case
    is_next_secret: bool = False  # the next string is a password
    is_in_options: bool = False  # so are all strings up to the closing parenthesis

    def masked(self) -> str:
        shown: list[str] = []
        for token in _TOKEN.finditer(self.statement):
            text = token.group()
            if token["string"] is None:
                self._read(token)
                shown.append(text)
            elif (hidden_from := self._hidden_from(token)) is not None:
                return self.statement[: token.start() + hidden_from] + MASK
            else:
                is_secret = self.is_next_secret or self.is_in_options
                shown.append(f"'{MASK}'" if is_secret else text)
        return "".join(shown)

    def _read(self, token: re.Match[str]) -> None:
        """Take note of a token that isn't a string."""
        text = token.group().lower()
        if token["word"]:
            self.words.add(text)
            self.is_next_secret = text.endswith(_BEFORE_A_PASSWORD) or (self.is_next_secret and text == "to")
            self.is_in_options |= text == "options" and not self.words.isdisjoint(_WITH_OPTIONS)
        elif token["quoted"]:
            self.is_next_secret = text.strip('"').endswith(_BEFORE_A_PASSWORD)
        elif token["sign"]:
            self.is_next_secret &= text == "="
            self.is_in_options &= text != ")"
            if text == ";":
                self.words.clear()

    def _hidden_from(self, token: re.Match[str]) -> int | None:
        """Where in this string the part begins that has to be hidden with all that follows; None: nowhere."""
        text = token["string"]
        is_secret = self.is_next_secret or self.is_in_options
        if is_secret and text == "''":
            return 0  # two quotes: more likely a string within a string than an empty password
        if "\\'" in text and (token["prefix"] or "").lower() != "e":
            # Whether \' ends a string depends on that session's standard_conforming_strings, unknown to us.
            return 0
        inside = _INSIDE_A_STRING.search(text)
        return None if is_secret or inside is None else inside.end()
