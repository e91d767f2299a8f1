"""Buttons pressed in a chat: whose press it was, if it was one at all. Nothing is decided here."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from molam.kernel import canonical
from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.notices import store
from molam.platform.db import Tx
from molam.platform.settings import Secret

WINDOW_S = 300
BODY_BYTES_MAX = 64 * 1024

_TIMESTAMP_DIGITS_MAX = 12


class ChatCallbackRefused(Refusal):
    """One answer for every fault, so that nobody learns which check they got past."""

    code = "chat-callback-refused"
    kind = Kind.FORBIDDEN
    title = "This press of a button is not accepted"


@dataclass(frozen=True, slots=True)
class Press:
    """
    What somebody pressed. A vote still takes what any vote takes: the person's roles
    from the directory, the intent they were shown, and a step-up where one is due.
    """

    person_id: str
    action: str
    value: str


async def verify_chat_callback(
    tx: Tx, *, headers: Mapping[str, str], body: bytes, secret: Secret, now: Instant
) -> Press:
    """
    Accept a Slack-style callback once, and name the person behind it.

    The signature is checked before anything is parsed, the time is at most five
    minutes off, and a signature that was heard before is refused for as long as its
    time would let it in. Chat roles, names and e-mail addresses in the body count for
    nothing: the chat's team and user id must be an alias in our directory.

    Raises:
        ChatCallbackRefused: not from our chat, too old, heard before, or of a stranger.
    """
    signature = _signature(headers, body, secret, now)
    document = _document(body)
    user = document.get("user")
    team = document.get("team")
    actions = document.get("actions")
    if not isinstance(user, dict) or not isinstance(team, dict) or not isinstance(actions, list):
        raise ChatCallbackRefused("It does not name a user, a team and an action.")
    if len(actions) != 1 or not isinstance(actions[0], dict):
        raise ChatCallbackRefused("It does not name exactly one action.")
    rows = await tx.all(store.FIND_ALIAS, alias=f"slack:{team.get('id')}:{user.get('id')}"[:255])
    if not rows:
        raise ChatCallbackRefused("The chat's user is nobody in the directory.")
    if not await tx.run(store.APPEND_CALLBACK, signature=signature):
        raise ChatCallbackRefused("It was heard before.")
    action = actions[0]
    return Press(rows[0].person_id, str(action.get("action_id", "")), str(action.get("value", "")))


def _signature(headers: Mapping[str, str], body: bytes, secret: Secret, now: Instant) -> bytes:
    if not secret:
        raise ChatCallbackRefused("No chat is set up.")
    if len(body) > BODY_BYTES_MAX:
        raise ChatCallbackRefused("It is too long.")
    given = {name.lower(): value for name, value in headers.items()}
    stamp = given.get("x-slack-request-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit()) or len(stamp) > _TIMESTAMP_DIGITS_MAX:
        raise ChatCallbackRefused("It has no time.")
    mac = hmac.new(secret.reveal().encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256)
    sent = given.get("x-slack-signature", "").encode(errors="replace")
    if not hmac.compare_digest(f"v0={mac.hexdigest()}".encode(), sent):
        raise ChatCallbackRefused("The signature is wrong.")
    if abs(now.timestamp() - int(stamp)) > WINDOW_S:
        raise ChatCallbackRefused("It is too old.")
    return mac.digest()


def _document(body: bytes) -> dict[str, canonical.Json]:
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=8, strict_parsing=True)
        (payload,) = fields.get("payload", [])
        document = canonical.parse(payload.encode())
    except (ValueError, canonical.JsonMalformed):
        raise ChatCallbackRefused("It is not shaped like a callback.") from None
    if not isinstance(document, dict):
        raise ChatCallbackRefused("It is not shaped like a callback.")
    return document
