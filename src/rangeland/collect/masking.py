"""Removes passwords and their like from the texts of statements before anybody sees them.

A secret is: what follows a name that ends like one (`password`, `api_key`, `token`, …), is compared with it, or is
given to a function named like it; in an INSERT with such a column every string; the connection string behind
`CONNECTION` (subscriptions), every string in the `OPTIONS (…)` of a user mapping, a server or a wrapper; every string
given to pgcrypto's functions with keys; the command of `COPY … PROGRAM`; and the password of a URL. Where a statement
stands inside a string (`DO`, `EXECUTE`, `format`, `dblink`), nobody can tell which string is the password: everything
from the keyword on is masked. Too much is masked rather than too little.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MASK = "********"  # as libpq shows a password

_SUSPECT = re.compile(
    r"passw|pwd|passphrase|secret|token|api_?key|access_?key|private_?key|credential|crypt|hmac|program"
    r"|connection|conninfo|options|://",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"""
    (?P<blank>   \s+ )
  | (?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) )
  | (?P<string>  (?P<prefix>[eExXbBnN]|[uU]&)?'(?:[^'\\]|\\.|'')*(?:'|\\?\Z)
               | (?P<fence>\$(?:[^\W\d]\w*)?\$).*?(?:(?P=fence)|\Z) )
  | (?P<quoted>  "[^"]*(?:"|\Z) )
  | (?P<word>    [^\W\d][\w$]* )
  | (?P<number>  \d[\w.]* )
  | (?P<sign>    . )
    """,
    re.VERBOSE | re.DOTALL,
)
_INSIDE_A_STRING = re.compile(
    r"passw(?:or)?d|pwd(?==)|passphrase|conninfo|(?<=subscription)\b.*\bconnection|(?:mapping|server)\b.*\boptions",
    re.IGNORECASE | re.DOTALL,
)
_INSIDE_A_COMMENT = re.compile(r"passw(?:or)?d|\bpwd|passphrase|secret|token|api_?key|access_?key", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(://[^\s/:@']*:)(?:[^\s']*@|[^\s']+\Z)")
_LIKE_A_PASSWORD = re.compile(
    r"(?:passw(?:or)?d|pwd|passphrase|secret|token|api_?key|access_?key|private_?key|credentials?)\Z"
)
_CONNECTION = re.compile(r"(?:connection|conninfo)\Z")
_CRYPTING = re.compile(r"(?:(?:de|en)?crypt(?:_iv|_bytea)?|hmac|gen_salt)\Z")  # of pgcrypto
_COMPARING = {"to", "in", "like", "ilike", "similar", "not", "any"}
_COMPARING_SIGNS = "=<>!~|"
_WITH_OPTIONS = {"mapping", "server", "wrapper"}
_ROLE_COMMANDS = {("alter", "role"), ("alter", "user"), ("create", "role"), ("create", "user"), ("create", "group")}


def mask_passwords(statement: str) -> str:
    """Return the statement with `MASK` for every secret; the text may have been cut off anywhere."""
    if not _SUSPECT.search(statement):
        return statement
    return _URL_PASSWORD.sub(rf"\g<1>{MASK}@", _Masking(statement).masked())


@dataclass
class _Masking:
    """One walk over a statement's tokens."""

    statement: str
    words: list[str] = field(default_factory=list)  # of the statement so far, in lower case
    is_next_secret: bool = False  # the next string is a secret
    is_bare_expected: bool = False  # and it may come without quotes
    is_name_secret: bool = False  # the token before is a name of a secret, of a function perhaps
    is_in_options: bool = False  # all strings up to the closing parenthesis are secrets
    depth: int = 0  # of parentheses in a call whose strings are all secrets; 0: in none
    is_insert: bool = False  # all strings up to the end of the statement are secrets

    def masked(self) -> str:
        shown: list[str] = []
        for token in _TOKEN.finditer(self.statement):
            text = token.group()
            if token["string"]:
                if (hidden_from := self._hidden_from(token)) is not None:
                    return "".join(shown) + text[:hidden_from] + MASK
                self.is_bare_expected = False
                shown.append(f"'{MASK}'" if self._is_secret else text)
            elif token["comment"]:
                shown.append(_masked_comment(text))
            elif self._is_bare_secret(token):
                shown.append(MASK)
                self.is_next_secret = False
            else:
                self._read(token)
                shown.append(text)
        return "".join(shown)

    @property
    def _is_secret(self) -> bool:
        return self.is_next_secret or self.is_in_options or self.depth > 0 or self.is_insert

    def _is_bare_secret(self, token: re.Match[str]) -> bool:
        """A number, or where nothing else makes sense a word, in the place of a secret."""
        text = token.group().lower()
        if token["number"]:
            return (self.is_next_secret and self.is_bare_expected) or self.depth > 0
        if not self.is_next_secret or not self.is_bare_expected or not (token["word"] or token["quoted"]):
            return False
        if tuple(self.words[:2]) in _ROLE_COMMANDS and self.words[-1].endswith("password"):
            return text != "null"
        return self.words[:1] == ["set"] and text not in _COMPARING

    def _read(self, token: re.Match[str]) -> None:
        """Take note of a token that isn't a string."""
        text = token.group().lower()
        if token["word"]:
            self.words.append(text)
            self._read_name(text)
        elif token["quoted"]:
            self._read_name(text.strip('"'))
        elif token["sign"]:
            self._read_sign(text)

    def _read_name(self, name: str) -> None:
        self.is_name_secret = bool(_LIKE_A_PASSWORD.search(name))
        is_like_one = self.is_name_secret or bool(_CONNECTION.search(name)) or name == "program"
        self.is_next_secret = is_like_one or (self.is_next_secret and name in _COMPARING)
        self.is_bare_expected = self.is_next_secret
        self.is_name_secret |= bool(_CRYPTING.search(name)) or name.startswith("pgp_")
        self.is_in_options |= name == "options" and not _WITH_OPTIONS.isdisjoint(self.words)
        self.is_insert |= is_like_one and self.words[:1] == ["insert"]

    def _read_sign(self, sign: str) -> None:
        if sign == "(":
            is_call = self.depth or self.is_name_secret or self.is_next_secret
            self.depth += 1 if is_call else 0
        elif sign == ")":
            self.depth = max(self.depth - 1, 0)
            self.is_in_options = False
        elif sign == ";":
            self.words.clear()
            self.is_insert = False
        self.is_next_secret &= sign in _COMPARING_SIGNS
        self.is_name_secret = False

    def _hidden_from(self, token: re.Match[str]) -> int | None:
        """Where in this string the part begins that has to be hidden with all that follows; None: nowhere."""
        text = token["string"]
        if self._is_secret and text == "''":
            return 0  # two quotes: more likely a string within a string than an empty password
        if "\\'" in text and (token["prefix"] or "").lower() != "e":
            # Whether \' ends a string depends on that session's standard_conforming_strings, unknown to us.
            return 0
        inside = _INSIDE_A_STRING.search(text)
        return None if self._is_secret or inside is None else inside.end()


def _masked_comment(comment: str) -> str:
    """Comments have no grammar: from such a word on all is hidden."""
    found = _INSIDE_A_COMMENT.search(comment)
    if found is None:
        return comment
    return f"{comment[: found.end()]} {MASK}{' */' if comment.startswith('/*') else ''}"
