"""Publishing an event to whoever subscribed, in the transaction of the fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from molam.kernel.ids import show, uuid8
from molam.platform.db import Tx
from molam.webhooks import store
from molam.webhooks.model import DATA_BYTES_MAX, EVENTS

log = structlog.get_logger()

_encode = msgspec.json.Encoder(decimal_format="number").encode

CHANNEL = "webhooks"
"""Rung when there is something to deliver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """
    One thing a merchant may want to hear. *version* counts the states of *object_id*.

    The same event of the same object and version is published once, ever.
    """

    merchant_id: str
    event: str
    object_id: str
    version: int
    data: Mapping[str, object]


async def publish(
    tx: Tx,
    *,
    merchant_id: str,
    event: str,
    object_id: str,
    version: int,
    data: Mapping[str, object],
) -> None:
    """
    Let the merchant's endpoints hear of *event* after *tx* commits, and not if it does not.

    Whoever publishes holds the lock on the object, which keeps its versions in order.
    """
    await publish_all(
        tx,
        [
            News(
                merchant_id=merchant_id,
                event=event,
                object_id=object_id,
                version=version,
                data=data,
            )
        ],
    )


async def publish_all(tx: Tx, news: Sequence[News]) -> int:
    """Publish all of *news* in one statement; return how many deliveries that makes."""
    if not news:
        return 0
    for each in news:
        assert each.event in EVENTS, f"{each.event} is not an event of ours"
    published = await tx.one(
        store.PUBLISH,
        ids=[event_id(each) for each in news],
        merchants=[each.merchant_id for each in news],
        events=[each.event for each in news],
        objects=[each.object_id for each in news],
        versions=[each.version for each in news],
        data=[_written(each) for each in news],
    )
    assert published is not None
    return published.deliveries


def event_id(news: News) -> str:
    """Name an event by what it is about: published again, it is the same."""
    named = f"webhook/{news.merchant_id}/{news.event}/{news.object_id}/{news.version}"
    return show("evt", uuid8(named))


def _written(news: News) -> str:
    text = _encode(news.data)
    if len(text) > DATA_BYTES_MAX:
        # The fact counts for more than its description: it is told, and can be looked up.
        log.warning("webhooks.data.too_long", event=news.event, bytes=len(text))
        text = _encode({"id": news.object_id, "truncated": True})
    return text.decode()
