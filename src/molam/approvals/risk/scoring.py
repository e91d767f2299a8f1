"""Getting a score that can be trusted, or the highest one in its place."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta
from prometheus_client import Counter, Histogram

from molam.approvals.risk import store
from molam.kernel.clock import Clock
from molam.kernel.ids import uuid7
from molam.ledger.francs import Francs
from molam.platform.db import Database, Tx
from molam.platform.settings import Secret
from molam.platform.telemetry import log
from molam.sira import remote, scoring, signatures
from molam.sira.remote import Unheard
from molam.sira.scoring import Advice, Channel, Contribution, ScoreRequest
from molam.sira.signing import AdviceRefused

FAILURES = Counter("molam_approvals_sira_failures_total", "Scores that were wanted in vain.")
SCORES = Histogram(
    "molam_approvals_sira_score",
    "Scores that decided how many must agree.",
    buckets=(0, 25, 50, 60, 70, 80, 85, 90, 95, 100),
)

_MILLIS = 1000

# What is sent and stored keeps every digit of a number.
encode = msgspec.json.Encoder(decimal_format="number").encode


class _Answer(msgspec.Struct, frozen=True):
    """What POST /api/score says; a missing score is no score, and never 0."""

    score: Annotated[int, Meta(ge=0, le=scoring.SCORE_MAX)]
    model_version: Annotated[str, Meta(min_length=1, max_length=128)]
    signature: str
    tags: tuple[str, ...] = ()
    reason: str = ""
    recommended_approvals: int = 0
    recommended_channels: tuple[Channel, ...] = ("email",)
    confidence: Decimal = Decimal(0)
    contributions: tuple[Contribution, ...] = ()


@dataclass(frozen=True, slots=True)
class Weighed:
    """A score, how it was come by, and why there is none to trust if so."""

    advice: Advice
    latency_ms: int
    signature: str | None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """Asks SIRA: the rules in this process, or a service when *url* names one."""

    clock: Clock
    francs: Francs
    signing_key: Secret
    url: str = ""
    api_key: Secret | None = None
    model_version: str = scoring.FALLBACK
    may_fall_back: bool = True
    timeout_s: float = 5.0

    @property
    def is_remote(self) -> bool:
        return bool(self.url)

    async def amount_xof(self, db: Database, request: ScoreRequest) -> int | None:
        """Return what is asked for in francs; None when nobody said, or knows the rate."""
        if not request.amount:
            # No money is no money in any currency.
            return request.amount
        return await self.francs.of(db, request.amount, request.currency)

    def weigh_here(self, request: ScoreRequest, amount_xof: int | None) -> Weighed:
        """Score by the rules in this process; no answer to wait for, so fit for a transaction."""
        if not self.may_fall_back:
            return self._in_vain("scoring is switched off", 0)
        began = time.perf_counter()
        advice = scoring.advise(request, amount_xof=amount_xof)
        signature = signatures.sign(advice, request, key=self.signing_key, now=self.clock.now())
        return Weighed(advice, _elapsed_ms(began), signature)

    async def weigh_remotely(self, request: ScoreRequest) -> Weighed:
        """
        Ask the service. No transaction is open.

        Whatever goes wrong, there is a score: the highest, so that trouble with SIRA
        never lets anything pass that SIRA would have stopped.
        """
        began = time.perf_counter()
        try:
            answer = await remote.post(
                f"{self.url.rstrip('/')}/api/score",
                encode(request),
                api_key=self.api_key,
                timeout_s=self.timeout_s,
                headers={"X-Model-Version": self.model_version},
            )
            said = msgspec.convert(answer, _Answer)
            claims = signatures.verify(
                said.signature, request, key=self.signing_key, now=self.clock.now()
            )
        except msgspec.ValidationError as error:
            return self._in_vain(f"SIRA's answer is not one: {error}", _elapsed_ms(began))
        except AdviceRefused as refusal:
            return self._in_vain(refusal.detail, _elapsed_ms(began))
        except Unheard as outage:
            return self._in_vain(outage.why, _elapsed_ms(began))
        if (claims.score, claims.model_version) != (said.score, said.model_version):
            return self._in_vain("SIRA signed another score", _elapsed_ms(began))
        return Weighed(
            Advice(**{name: getattr(said, name) for name in Advice.__struct_fields__}),
            _elapsed_ms(began),
            said.signature,
        )

    def _in_vain(self, cause: str, latency_ms: int) -> Weighed:
        FAILURES.inc()
        log.warning("approvals.risk.unscored", cause=cause)
        advice = scoring.worst(cause[:200], model_version=self.model_version)
        return Weighed(advice, latency_ms, None, failure=cause[:1000])


async def record(tx: Tx, approval_id: UUID, request: ScoreRequest, weighed: Weighed) -> None:
    """Keep what was asked of SIRA and what it said, whether or not it could be trusted."""
    advice = weighed.advice
    at = (await tx.all(store.NOW))[0].now
    await tx.run(
        store.INSERT_SCORING,
        id=uuid7(at),
        approval_id=approval_id,
        payload=encode(request).decode(),
        score=advice.score,
        tags=list(advice.tags),
        reason=advice.reason,
        recommended=advice.recommended_approvals,
        contributions=msgspec.to_builtins(advice.contributions),
        model_version=advice.model_version,
        latency_ms=weighed.latency_ms,
        signature=weighed.signature,
        failure=weighed.failure,
    )
    SCORES.observe(advice.score)


def _elapsed_ms(began: float) -> int:
    return int((time.perf_counter() - began) * _MILLIS)
