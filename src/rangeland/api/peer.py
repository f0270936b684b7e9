"""The other nodes' side of the API: one path a question, JSON in and out, signed with the cluster key."""

from __future__ import annotations

import asyncio
import re

from msgspec import Struct
from starlette.responses import Response

from rangeland.api.asking import Asking
from rangeland.api.replies import HttpError, json_reply
from rangeland.cluster.cluster import (
    MEMBER_HEADER,
    NODE_HEADER,
    ROLE_HEADER,
    SENDER_HEADER,
    SERVER_HEADER,
    TIME_HEADER,
    TIMEOUT_HEADER,
    parse_sender,
)
from rangeland.cluster.peer_token import digest
from rangeland.cluster.questions import QUESTIONS
from rangeland.cluster.timing import timed
from rangeland.config import REQUEST_TIMEOUT_S
from rangeland.errors import (
    NotPrimaryError,
    RangelandError,
    ServerDownError,
    ServerError,
    StateError,
    StrangerError,
)
from rangeland.wire.json import DecodeError, decode

DATA_EXCEPTION = "22"  # the class of SQLSTATEs for values that a statement can't take: the asker's fault


async def answer_question(asking: Asking) -> Response:
    """This node's own answer. 421: only the primary's node can say; 503: this node's server can't answer;
    400: the parameters can't be read, or are values that no statement takes; 403: the asker is no member.
    """
    question = QUESTIONS.get(asking.path_part("question"))
    answer = asking.services.cluster.answers.get(question.path) if question else None
    if question is None or answer is None:
        said = "this node does not know the question; is it older than the one that asks?"
        raise HttpError(404, said, _headers(asking))
    body = await asking.body()
    if asking.signed_body not in (None, digest(body)):
        raise HttpError(403, "signed for another body")
    params = _parsed(question.takes, body, asking)
    try:
        if sender := parse_sender(asking.request.headers.get(SENDER_HEADER, "")):
            await asking.services.require_known(sender, _deadline(asking))
        with timed("collect"):
            found = await answer(params, _deadline(asking))
    except StrangerError as exc:
        raise HttpError(403, str(exc), _headers(asking)) from exc
    except NotPrimaryError as exc:
        raise HttpError(421, str(exc), _headers(asking)) from exc
    except (ServerDownError, StateError) as exc:
        raise HttpError(503, str(exc), _headers(asking)) from exc
    except ServerError as exc:
        status = 400 if (exc.sqlstate or "").startswith(DATA_EXCEPTION) else 500
        raise HttpError(status, str(exc), _headers(asking)) from exc
    except RangelandError as exc:
        raise HttpError(500, str(exc), _headers(asking)) from exc
    return json_reply(found, _headers(asking))


def _parsed(takes: type[Struct], body: bytes, asking: Asking) -> Struct:
    try:
        return decode(takes, body)
    except DecodeError as exc:
        raise HttpError(400, f"the parameters can't be read: {exc}", _headers(asking)) from exc


def _deadline(asking: Asking) -> float:
    """What the asker has left, by its own word, and never more than a request of our own may take."""
    left_ms = asking.request.headers.get(TIMEOUT_HEADER, "")
    left_s = int(left_ms) / 1000 if re.fullmatch(r"[0-9]{1,9}", left_ms) else REQUEST_TIMEOUT_S
    return asyncio.get_running_loop().time() + min(left_s, REQUEST_TIMEOUT_S)


def _headers(asking: Asking) -> dict[str, str]:
    services = asking.services
    return {
        NODE_HEADER: str(services.cluster.node_id),
        ROLE_HEADER: services.role_header(),
        TIME_HEADER: str(services.now_ns()),
        MEMBER_HEADER: str(services.cluster.registered_at_us),
        SERVER_HEADER: services.cluster.hello().server_id,
    }
