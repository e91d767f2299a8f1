"""Asking a SIRA that runs as a service of its own, in time or in vain."""

from __future__ import annotations

from collections.abc import Mapping

from molam.kernel import canonical
from molam.kernel.canonical import Json
from molam.kernel.refusals import Outage, Refusal
from molam.platform.egress import Egress
from molam.platform.settings import Secret

ANSWER_BYTES_MAX = 64 * 1024
_OK = 200


class Unheard(Outage):
    """SIRA did not answer, or with nothing that could be an answer; *why* says it shortly."""

    def __init__(self, why: str) -> None:
        super().__init__("SIRA")
        self.why = why

    def __str__(self) -> str:
        return self.why


async def post(
    url: str,
    body: bytes,
    *,
    api_key: Secret | None,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
) -> Json:
    """
    Send *body* once and return what is answered. No transaction is open.

    Raises:
        Unheard: no answer in time, another status than 200, or no JSON.
    """
    sent = {
        "Content-Type": "application/json",
        **(headers or {}),
        **({"X-API-Key": api_key.reveal()} if api_key else {}),
    }
    try:
        # SIRA is ours, and mostly in our own network.
        async with Egress(allow_private=True, timeout_s=timeout_s) as egress:
            answer = await egress.post(url, body=body, headers=sent, bytes_max=ANSWER_BYTES_MAX)
        if answer.status != _OK:
            raise Unheard(f"SIRA answered {answer.status}")
        return canonical.parse(answer.body)
    except Unheard:
        raise
    except Outage as error:
        raise Unheard("SIRA did not answer") from error
    except Refusal as refusal:
        raise Unheard(refusal.detail) from refusal
