"""A check for schemathesis beside its own, loaded through SCHEMATHESIS_HOOKS: what a server's error may be."""

from __future__ import annotations

from typing import Any

import schemathesis

# The contract's own: a node that doesn't exist, a form that isn't well encoded, too many wrong passwords, a primary
# that is asked whether it can be stopped.
NAMED = ("there is no node", "the form is not well encoded", "too many logins", '"reasons":[{"kind":"primary"')


@schemathesis.check
def only_named_server_errors(
    _context: schemathesis.CheckContext, response: schemathesis.Response, _case: schemathesis.Case[Any]
) -> None:
    """A status from 500 on has a text that the contract or the design names, and no answer shows our insides."""
    if response.status_code >= 500:
        assert any(text in response.text for text in NAMED), response.text
    assert response.status_code == 200 or "Traceback" not in response.text
