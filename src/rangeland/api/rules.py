"""/rules/: the recording and alerting rules for Prometheus that fit this version's metrics."""

from __future__ import annotations

from rangeland.api.asking import Asking
from rangeland.api.replies import Body, HttpError
from rangeland.collect.rules import RULES_BY_GROUP
from rangeland.wire.rules import keyed_groups, listed_groups

_BODY_BY_FORMAT = {
    "": Body(keyed_groups(RULES_BY_GROUP).encode(), "text/plain"),
    "prometheus": Body(listed_groups(RULES_BY_GROUP).encode(), "text/plain"),
}


async def list_rules(asking: Asking) -> Body:
    """As a map of groups; with `format=prometheus` as a file that Prometheus loads. Raises: HttpError 400."""
    body = _BODY_BY_FORMAT.get(asking.parameter("format"))
    if body is None:
        raise HttpError(400, "invalid format value: leave it out, or prometheus")
    return body
