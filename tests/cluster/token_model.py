"""What must hold of tokens whatever is broken: which answers of a node keep the promise, and which break it.

The model knows no cluster: whoever plays tells it what was answered, and asks it to judge what nodes say of each
token. Any test or harness that breaks things can carry one along:

    model = TokenModel()
    model.began(token)                          # login answered 200
    model.ended(token)                          # logout answered 200; `end_unanswered` for anything but an answer
    model.primary_lost(replicated=False)        # before a standby is promoted that may lack the last rows
    model.complaints("node 2", {token: 401}, may_fail=False)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

RECOGNISED = frozenset({200, 403})  # 403: of somebody who may not read
REFUSED = frozenset({401})
FAILED = frozenset({500, None})  # nobody can say now; no answer at all


class Fate(Enum):
    """What is known of a token."""

    LIVE = "live"  # login was answered, and nobody tried to end it
    AT_RISK = "at risk"  # as live, but its row may have gone with a primary: then one logs in again
    UNSURE = "unsure"  # a logout was sent and not answered: either may be
    ENDED = "ended"  # a logout was answered: no node ever recognises it again


class TokenModel:
    """Every token that was made, and its fate."""

    def __init__(self) -> None:
        self.fate_by_token: dict[str, Fate] = {}

    def began(self, token: str) -> None:
        """A login was answered with this token."""
        assert token not in self.fate_by_token, "a token was given twice"
        self.fate_by_token[token] = Fate.LIVE

    def ended(self, token: str) -> None:
        """A logout of it was answered with 200."""
        self.fate_by_token[token] = Fate.ENDED

    def end_unanswered(self, token: str) -> None:
        """A logout of it was sent, and anything but an answer came of it."""
        if self.fate_by_token[token] is not Fate.ENDED:
            self.fate_by_token[token] = Fate.UNSURE

    def primary_lost(self, *, replicated: bool) -> None:
        """The primary is gone for good: logins are lost that no standby had received, revocations never."""
        for token in self.tokens(Fate.LIVE):
            if not replicated:
                self.fate_by_token[token] = Fate.AT_RISK

    def forget(self, token: str) -> None:
        """Judge it no more."""
        del self.fate_by_token[token]

    def tokens(self, *fates: Fate) -> list[str]:
        """Those of these fates, or all, the oldest first."""
        return [token for token, fate in self.fate_by_token.items() if not fates or fate in fates]

    def complaints(self, node: str, status_by_token: Mapping[str, int | None], *, may_fail: bool) -> Iterator[str]:
        """How a node's answers break the promise. `may_fail`: it needn't be able to say (a part that it needs is
        broken), but what it says must be right. A status is None where no answer came.
        """
        for token, status in status_by_token.items():
            fate = self.fate_by_token[token]
            if status not in allowed(fate, may_fail=may_fail):
                yield f"{node} answers {status} for a token that is {fate.value}"


def allowed(fate: Fate, *, may_fail: bool) -> frozenset[int | None]:
    """The statuses of a reader's request that keep the promise."""
    right = {
        Fate.LIVE: RECOGNISED,
        Fate.AT_RISK: RECOGNISED | REFUSED,
        Fate.UNSURE: RECOGNISED | REFUSED,
        Fate.ENDED: REFUSED,
    }[fate]
    return right | FAILED if may_fail else right
