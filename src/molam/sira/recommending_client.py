"""Asking SIRA what to do about an alert, and believing only what it signed."""

from __future__ import annotations

import msgspec

from molam.kernel.clock import Clock
from molam.platform.settings import Secret
from molam.sira import recommending, remote
from molam.sira import recommending_messages as messages
from molam.sira.recommending import Recommendation
from molam.sira.recommending_messages import Recommended, RecommendRequest
from molam.sira.remote import Unheard

_encode = msgspec.json.Encoder(decimal_format="number").encode


def here(asked: RecommendRequest, *, key: Secret, clock: Clock) -> Recommended:
    """Let this process be SIRA: the same answer, under the same kind of signature."""
    made = recommending.recommend(asked.alert, asked.evidence)
    return messages.signed(asked.alert, made, key=key, now=clock.now())


async def there(
    url: str, asked: RecommendRequest, *, api_key: Secret | None, timeout_s: float
) -> Recommended:
    """
    Ask SIRA's service once. No transaction is open.

    Raises:
        Unheard: no answer that could be one; an `Outage`.
    """
    said = await remote.post(
        f"{url}/v1/recommend", _encode(asked), api_key=api_key, timeout_s=timeout_s
    )
    try:
        return msgspec.convert(said, Recommended)
    except msgspec.ValidationError as error:
        raise Unheard(f"SIRA's answer is not one: {error}") from None


def believed(
    asked: RecommendRequest, said: Recommended, *, key: Secret, clock: Clock
) -> Recommendation:
    """
    Raises:
        AdviceRefused: SIRA did not sign this, about this alert, in the last hour.
    """
    return messages.verify(asked.alert, said, key=key, now=clock.now())
