"""One notice as signed JSON for a program of the organisation's, or as a message in its chat."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.refusals import Outage
from molam.notices.channels import Channels
from molam.notices.messages import Message, label, lines, say
from molam.notices.model import Kind, Undeliverable
from molam.notices.store import DeliveryRow
from molam.platform.egress import Answer, Egress
from molam.platform.settings import Secret
from molam.platform.web.l10n import LANGUAGES, Language

SIGNATURE = "Molam-Signature"

_TAKEN = range(200, 300)
_THEIR_FAULT = range(500, 600)
_TEMPORARY = frozenset({408, 425, 429})
_CHAT_LANGUAGE: Language = "fr"
"""Chats belong to nobody in particular; French is what the product speaks by default."""
# Slack's own limits.
_HEADER_MAX = 150
_FIELD_MAX = 2000
_FIELDS_MAX = 10


async def post_webhook(row: DeliveryRow, channels: Channels, egress: Egress, now: Instant) -> None:
    """
    Post the notice, signed. Posted twice, it has the same `id` and Idempotency-Key.

    Raises:
        AddressRefused: not an address that may be reached from here.
        Undeliverable: the receiver will never take it.
        Outage: no answer, or one that says to come back later.
    """
    body = msgspec.json.encode(_document(row, channels))
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": str(row.id),
        SIGNATURE: sign(body, channels.webhook_secret, now),
    }
    _judge(await egress.post(channels.webhook_url, body=body, headers=headers), "webhook")


async def post_slack(row: DeliveryRow, channels: Channels, egress: Egress) -> None:
    """
    Post the notice to a chat by a Slack-compatible incoming webhook.

    Raises:
        AddressRefused: not an address that may be reached from here.
        Undeliverable: the chat will never take it.
        Outage: no answer, or one that says to come back later.
    """
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(row.id)}
    body = msgspec.json.encode(_chat_message(row, channels))
    _judge(await egress.post(channels.slack_url.reveal(), body=body, headers=headers), "chat")


def sign(body: bytes, secret: Secret, now: Instant) -> str:
    """
    Sign *body* and the time: ``t=1767600000,v1=<hex HMAC-SHA-256 of "t.body">``.

    Receivers compute the same and refuse what is more than five minutes old.
    """
    at = int(now.timestamp())
    mac = hmac.new(secret.reveal().encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def _document(row: DeliveryRow, channels: Channels) -> dict[str, object]:
    said = {language: say(Kind(row.kind), row.facts, language) for language in LANGUAGES}
    return {
        "id": str(row.id),
        "kind": row.kind,
        "key": row.key,
        "subject": row.subject,
        "urgent": row.urgent,
        "created_at": row.created_at,
        "url": channels.public_url + row.link,
        "facts": row.facts,
        "text": {language: message.headline for language, message in said.items()},
        "check": next(
            (each.value for each in said["en"].details if each.label == label("check", "en")), None
        ),
    }


def _chat_message(row: DeliveryRow, channels: Channels) -> dict[str, object]:
    """All of it plain text, so that nothing in it can be markup, a mention or a link."""
    message = say(Kind(row.kind), row.facts, _CHAT_LANGUAGE)
    blocks: list[dict[str, object]] = [
        {"type": "header", "text": _plain(message.headline, _HEADER_MAX)},
    ]
    if message.advice:
        blocks.append({"type": "section", "text": _plain(message.advice)})
    if message.details:
        fields = [_plain(line) for line in lines(message, _CHAT_LANGUAGE)]
        blocks.append({"type": "section", "fields": fields[:_FIELDS_MAX]})
    if message.quote:
        blocks.append({"type": "context", "elements": [_plain(f"« {message.quote} »")]})
    button = {
        "type": "button",
        "text": _plain(label("open", _CHAT_LANGUAGE)),
        "url": channels.public_url + row.link,
    }
    blocks.append({"type": "actions", "elements": [button]})
    return {"text": _escaped(_summary(message)), "blocks": blocks}


def _summary(message: Message) -> str:
    details = "; ".join(lines(message, _CHAT_LANGUAGE))
    return f"{message.headline} ({details})" if details else message.headline


def _plain(text: str, length_max: int = _FIELD_MAX) -> dict[str, object]:
    return {"type": "plain_text", "text": text[:length_max], "emoji": False}


def _escaped(text: str) -> str:
    """Write the three characters that Slack reads as markup, as Slack asks for."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _judge(answer: Answer, dependency: str) -> None:
    if answer.status in _TAKEN:
        return
    if answer.status in _TEMPORARY or answer.status in _THEIR_FAULT:
        raise Outage(f"{dependency} answered {answer.status}")
    raise Undeliverable(f"The {dependency} answered {answer.status}.")
