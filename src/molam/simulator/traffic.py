"""Wallet traffic as it happens to a shop: pure, seeded, and the same each time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from random import Random
from zoneinfo import ZoneInfo

from molam.kernel.clock import Instant
from molam.kernel.ids import show, uuid7
from molam.simulator.profiles import COUNTRIES, Profile, Provider

# A real month of African mobile money is busiest at 20 h and quietest at 4 h.
# There the quietest hour has a two-thousandth of the busiest; here one in 25, so
# that a demo opened at night still moves.
HOUR_SHAPE = (
    16, 9, 6, 4.5, 4, 5, 9, 20, 36, 50, 58, 62,
    64, 60, 58, 60, 66, 76, 88, 97, 100, 84, 55, 30,
)  # fmt: skip
WEEKDAY_SHAPE = (0.94, 0.95, 0.97, 1.0, 1.1, 1.16, 0.88)
# Wages arrive at the end of the month and are spent in the days around it.
MONTH_SHAPE = {
    **dict.fromkeys(range(1, 6), 1.15),
    **dict.fromkeys(range(12, 22), 0.92),
    **dict.fromkeys(range(27, 32), 1.15),
}

ABANDONED_PERMILLE = 15
REFUNDED_PERMILLE = 15
DISPUTED_PERMILLE = 2
REFUND_FULL_SHARE = 0.7
DISPUTE_DECIDED_SHARE = 0.6
DISPUTE_WON_SHARE = 0.55
REGULARS = 400
"""Customers of a shop; few of them buy often, most of them rarely."""
SPREAD = 0.9
"""Sigma of the log-normal amounts."""
PAYOUT_SHARE = 0.9
"""Of a week's net revenue; the rest stays with us for refunds to come."""
BURST_DAYS = 4
"""How many ordinary days of payments a burst holds; the rule fires above three."""

# Nothing follows from a payment later than this: a refund within 5 days, a dispute
# within 6 and its end within 6 more; a payout sums the week before it.
_CONSEQUENCES = timedelta(days=14)

_FAILURES = (
    "insufficient_funds",
    "wrong_pin",
    "timeout",
    "limit_reached",
    "declined_by_issuer",
)
_REFUND_REASONS = ("customer_request", "out_of_stock", "wrong_item", "duplicate_payment")
_DISPUTE_REASONS = ("not_received", "not_as_described", "unrecognised", "duplicate")


@dataclass(frozen=True, slots=True, order=True)
class Happening:
    """One event a wallet will send, and when. Order is time, then id, then version."""

    at: Instant
    id: str
    version: int
    topic: str = field(compare=False)
    merchant_id: str = field(compare=False)
    began_at: Instant = field(compare=False)
    """When the payment behind it was created, or the payout's week began."""
    data: Mapping[str, object] = field(compare=False)


@dataclass(frozen=True, slots=True)
class _Day:
    happenings: list[Happening]
    net: int
    """What the merchant earned with the day's payments, refunds aside."""


def transactions(
    seed: int,
    profiles: Sequence[Profile],
    start: Instant,
    end: Instant,
    *,
    since: Instant | None = None,
) -> Iterator[Happening]:
    """
    Yield what wallets send from *start* up to but not including *end*, in order.

    The same seed gives the same events, however the time is cut: a day is the
    same whether asked for whole or hour by hour. Payments before *since* never
    happened, and neither did their refunds.
    """
    first = (start - _CONSEQUENCES).date() - timedelta(days=1)
    last = end.date() + timedelta(days=1)
    if since is not None:
        first = max(first, since.date() - timedelta(days=1))
    pending: list[Happening] = []
    earned: dict[tuple[str, date], int] = {}
    day = first
    while day <= last:
        for profile in profiles:
            made = _day(seed, profile, day)
            earned[profile.merchant_id, day] = made.net
            week = [earned.get((profile.merchant_id, day - timedelta(days=n))) for n in range(1, 8)]
            happenings = made.happenings
            if day.weekday() == 0 and None not in week:
                happenings = happenings + _payout(seed, profile, day, sum(n or 0 for n in week))
            for happening in happenings:
                if start <= happening.at < end and (since is None or happening.began_at >= since):
                    heapq.heappush(pending, happening)
        day += timedelta(days=1)
        settled = min(_midnight(day, profile.timezone) for profile in profiles)
        while pending and pending[0].at < settled:
            yield heapq.heappop(pending)
    while pending:
        yield heapq.heappop(pending)


def burst(seed: int, profile: Profile, at: Instant, *, minutes: int = 5) -> Iterator[Happening]:
    """
    Yield payments of several ordinary days within *minutes* from *at*.

    All succeed, so that the day's sales end above three times any day before.
    """
    chance = _chance(seed, profile.merchant_id, f"burst {at.isoformat()}")
    count = math.ceil(profile.payments_per_day * BURST_DAYS)
    payer = _payer(seed, profile)
    made: list[Happening] = []
    for number in range(count):
        created = at + timedelta(seconds=number * minutes * 60 / count)
        payment = payer.payment(chance, created, f"{profile.reference}-B{number + 1:05}")
        made += [payment.created(), payment.succeeded(created + timedelta(seconds=2))]
    yield from sorted(made)


def scaled(profile: Profile, factor: float) -> Profile:
    """Return the same shop with *factor* times the payments."""
    return replace(profile, payments_per_day=profile.payments_per_day * factor)


def _day(seed: int, profile: Profile, day: date) -> _Day:
    """Make one local day of a shop, with everything that follows from its payments."""
    chance = _chance(seed, profile.merchant_id, day.isoformat())
    mood = math.exp(chance.gauss(0, 0.04))
    expected = profile.payments_per_day * mood
    expected *= WEEKDAY_SHAPE[day.weekday()] * MONTH_SHAPE.get(day.day, 1.0)
    midnight = _midnight(day, profile.timezone)
    moments = sorted(
        hour * 3600 + chance.random() * 3600
        for hour, weight in enumerate(HOUR_SHAPE)
        for _ in range(_poisson(chance, expected * weight / sum(HOUR_SHAPE)))
    )

    payer = _payer(seed, profile)
    happenings: list[Happening] = []
    net = 0
    for number, seconds in enumerate(moments, start=1):
        reference = f"{profile.reference}-{day:%y%m%d}-{number:04}"
        payment = payer.payment(chance, midnight + timedelta(seconds=seconds), reference)
        ending = chance.random() * 1000
        happenings.append(payment.created())
        if ending < payment.provider.failed_permille:
            happenings.append(payment.failed(chance))
        elif ending < payment.provider.failed_permille + ABANDONED_PERMILLE:
            continue  # The customer walked away; nobody will ever say more.
        else:
            decided = payment.at + timedelta(seconds=2 + chance.expovariate(1 / 6))
            happenings.append(payment.succeeded(decided))
            happenings += _consequences(chance, payment, decided)
            net += payment.amount - payment.fee
    return _Day(happenings, net)


def _consequences(chance: Random, payment: _Payment, decided: Instant) -> list[Happening]:
    luck = chance.random() * 1000
    if luck < REFUNDED_PERMILLE:
        at = decided + timedelta(hours=min(118, 0.5 + chance.expovariate(1 / 20)))
        full = chance.random() < REFUND_FULL_SHARE
        share = 1.0 if full else chance.uniform(0.2, 0.8)
        amount = payment.amount if full else max(1, round(payment.amount * share))
        return [payment.refunded(at, amount, chance)]
    if luck < REFUNDED_PERMILLE + DISPUTED_PERMILLE:
        opened = decided + timedelta(days=chance.uniform(0.5, 6))
        reason = chance.choice(_DISPUTE_REASONS)
        disputes = [payment.disputed(opened, opened, "open", reason)]
        if chance.random() < DISPUTE_DECIDED_SHARE:
            ending = "won" if chance.random() < DISPUTE_WON_SHARE else "lost"
            closed = opened + timedelta(days=chance.uniform(2, 6))
            disputes.append(payment.disputed(opened, closed, ending, reason))
        return disputes
    return []


def _payout(seed: int, profile: Profile, monday: date, earned: int) -> list[Happening]:
    """Pay out last week's net revenue early on Monday; the bank has it on Tuesday."""
    midnight = _midnight(monday, profile.timezone)
    chance = _chance(seed, profile.merchant_id, f"payout {monday.isoformat()}")
    at = midnight + timedelta(hours=6, minutes=chance.uniform(0, 20))
    id_ = show("po", uuid7(at, entropy=chance.getrandbits(74)))
    amount = int(earned * PAYOUT_SHARE)
    if amount == 0:
        return []
    return [
        Happening(
            at=moment,
            id=id_,
            version=version,
            topic="payout_created",
            merchant_id=profile.merchant_id,
            began_at=_midnight(monday - timedelta(days=7), profile.timezone),
            data={
                "id": id_,
                "merchant_id": profile.merchant_id,
                "type": "payout",
                "amount": amount,
                "currency": profile.currency,
                "status": status,
                "version": version,
                "occurred_at": at.isoformat(),
            },
        )
        for version, (status, moment) in enumerate(
            [("pending", at), ("paid", at + timedelta(hours=chance.uniform(20, 30)))], start=1
        )
    ]


@dataclass(frozen=True, slots=True)
class _Payment:
    id: str
    profile: Profile
    at: Instant
    amount: int
    provider: Provider
    reference: str
    customer: Mapping[str, object]

    @property
    def fee(self) -> int:
        return (self.amount * self.provider.fee_bp + 5_000) // 10_000

    def created(self) -> Happening:
        return self._wallet("wallet_txn_created", self.at, "pending", version=1)

    def failed(self, chance: Random) -> Happening:
        at = self.at + timedelta(seconds=1 + chance.expovariate(1 / 15))
        reason = chance.choice(_FAILURES)
        return self._wallet("wallet_txn_created", at, "failed", version=2, reason=reason)

    def succeeded(self, at: Instant) -> Happening:
        return self._wallet("wallet_txn_succeeded", at, "succeeded", version=2, fee_molam=self.fee)

    def refunded(self, at: Instant, amount: int, chance: Random) -> Happening:
        id_ = show("re", uuid7(at, entropy=chance.getrandbits(74)))
        return self._happening(
            "refund_created",
            at,
            version=2,
            id=id_,
            type="refund",
            amount=amount,
            status="succeeded",
            occurred_at=at.isoformat(),
            reason=chance.choice(_REFUND_REASONS),
        )

    def disputed(self, opened: Instant, at: Instant, status: str, reason: str) -> Happening:
        return self._happening(
            "dispute_created",
            at,
            version=1 if status == "open" else 2,
            id=f"dp_{self.id.removeprefix('tx_')}",
            type="chargeback",
            amount=self.amount,
            status=status,
            occurred_at=opened.isoformat(),
            reason=reason,
        )

    def _wallet(
        self, topic: str, at: Instant, status: str, *, version: int, **more: object
    ) -> Happening:
        return self._happening(
            topic,
            at,
            version=version,
            id=self.id,
            type="payment",
            amount=self.amount,
            status=status,
            occurred_at=self.at.isoformat(),
            **more,
        )

    def _happening(self, topic: str, at: Instant, *, version: int, **data: object) -> Happening:
        return Happening(
            at=at,
            id=str(data["id"]),
            version=version,
            topic=topic,
            merchant_id=self.profile.merchant_id,
            began_at=self.at,
            data={
                "transaction_id": self.id,
                "merchant_id": self.profile.merchant_id,
                "currency": self.profile.currency,
                "version": version,
                "channel": self.provider.channel,
                "provider": self.provider.name,
                "reference_code": self.reference,
                "customer": self.customer,
                "metadata": {"country": self.profile.country},
                **data,
            },
        )


class _Payer:
    """The customers of one shop, the same ones every day."""

    def __init__(self, seed: int, profile: Profile) -> None:
        self._profile = profile
        self._country = COUNTRIES[profile.country]
        self._shares = [provider.share for provider in self._country.providers]
        chance = _chance(seed, profile.merchant_id, "customers")
        self._customers = [self._customer(chance) for _ in range(REGULARS)]
        # The mean of a log-normal lies half its variance above that of the logs.
        self._log_mean = math.log(profile.mean_minor) - SPREAD**2 / 2

    def payment(self, chance: Random, at: Instant, reference: str) -> _Payment:
        steps = round(chance.lognormvariate(self._log_mean, SPREAD) / self._profile.step_minor)
        regular = int(REGULARS * chance.random() ** 2)
        return _Payment(
            id=show("tx", uuid7(at, entropy=chance.getrandbits(74))),
            profile=self._profile,
            at=at,
            amount=max(1, steps) * self._profile.step_minor,
            provider=chance.choices(self._country.providers, self._shares)[0],
            reference=reference,
            customer=self._customers[regular],
        )

    def _customer(self, chance: Random) -> Mapping[str, object]:
        given = chance.choice(self._country.given_names)
        family = chance.choice(self._country.family_names)
        digits = self._country.subscriber_digits
        number = f"{chance.choice(self._country.operators)}{chance.randrange(10**digits):0{digits}}"
        mailbox = f"{given}.{family}{chance.randrange(100)}".lower().translate(_ASCII)
        return {
            "name": f"{given} {family}",
            "email": f"{mailbox}@example.com",
            "phone": f"{self._country.calling_code}{number}",
        }


@lru_cache(maxsize=64)
def _payer(seed: int, profile: Profile) -> _Payer:
    return _Payer(seed, profile)


_ASCII = str.maketrans({"é": "e", "è": "e", "'": ""})


def _chance(seed: int, merchant_id: str, what: str) -> Random:
    # Seeding with text goes through SHA-512, the same on every machine and version.
    return Random(f"{seed}/{merchant_id}/{what}")


def _poisson(chance: Random, expected: float) -> int:
    """Draw a count by adding up waiting times (Knuth), in pieces that cannot underflow."""
    count = 0
    while expected > 0:
        piece = min(expected, 200.0)
        expected -= piece
        waited = chance.expovariate(1.0)
        while waited < piece:
            count += 1
            waited += chance.expovariate(1.0)
    return count


def _midnight(day: date, timezone: str) -> Instant:
    return datetime.combine(day, time.min, tzinfo=ZoneInfo(timezone)).astimezone(UTC)
