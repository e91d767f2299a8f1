"""What the mesh is made of: regions, the banks that are members, and what each can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal

MemberRole = Literal["primary", "secondary", "tertiary", "observer", "member"]
MemberStatus = Literal["active", "disabled", "suspended", "pending_approval"]

_AmountOf = Annotated[
    int, Meta(ge=1, le=MINOR_MAX, description="Minor units of whatever currency is asked about")
]
_Code = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z", max_length=3)]
Amounts = _AmountOf | Annotated[dict[_Code, _AmountOf], Meta(min_length=1, max_length=50)]
"""Minor units: one integer for every currency, or one for each."""


_WHOLE = 100


class MissingFields(Refusal):
    code = "missing-required-fields"
    kind = Kind.MALFORMED
    title = "Required fields are missing"


class RegionAbsent(Refusal):
    code = "region-absent"
    kind = Kind.ABSENT
    title = "No such region"


class MemberMissing(Refusal):
    code = "mesh-member-absent"
    kind = Kind.ABSENT
    title = "No such member of the mesh"


class MemberExists(Refusal):
    code = "mesh-member-exists"
    kind = Kind.CONFLICT
    title = "The bank is a member of this region already"


class MemberNotInState(Refusal):
    code = "mesh-member-not-in-state"
    kind = Kind.CONFLICT
    title = "The member's status does not allow this"


class CapabilitiesRefused(Refusal):
    code = "capabilities-refused"
    kind = Kind.BROKEN_RULE
    title = "A member cannot have these capabilities"


class Capabilities(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member has agreed to carry. Whatever is left out has its usual value."""

    max_amount_per_txn: Amounts = 10_000_000
    daily_volume_limit: Amounts = 100_000_000
    supported_currencies: Annotated[tuple[_Code, ...], Meta(min_length=1, max_length=50)] = (
        "XOF",
        "EUR",
        "USD",
    )
    cross_border_enabled: bool = True
    settlement_time_hours: Annotated[int, Meta(ge=0, le=720)] = 24
    sla_uptime_pct: Decimal = Decimal("99.9")

    def __post_init__(self) -> None:
        if not self.sla_uptime_pct.is_finite() or not 0 <= self.sla_uptime_pct <= _WHOLE:
            raise ValueError("sla_uptime_pct is between 0 and 100")

    def max_amount(self, currency: str) -> int | None:
        """Return the largest payout it takes in *currency*; None: no limit was agreed."""
        return _amount_in(self.max_amount_per_txn, currency)

    def daily_limit(self, currency: str) -> int | None:
        """Return what it takes of *currency* in a day; None: no limit was agreed."""
        return _amount_in(self.daily_volume_limit, currency)

    def supports(self, currency: str) -> bool:
        return currency in self.supported_currencies


def read_capabilities(stored: Mapping[str, object]) -> Capabilities:
    """
    Read what a member can do, strictly; a number written with quotes is no number.

    Raises:
        CapabilitiesRefused: says which field, and what was expected.
    """
    try:
        # A decimal is stored as text, so that none of its digits is lost.
        return msgspec.convert(dict(stored), Capabilities)
    except msgspec.ValidationError as error:
        raise CapabilitiesRefused(f"{error}.") from None


def _amount_in(amounts: int | dict[str, int], currency: str) -> int | None:
    return amounts if isinstance(amounts, int) else amounts.get(currency)


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member that payouts may be led to, with its bank's terms."""

    id: str
    region_id: str
    bank_profile_id: str
    bank_name: str
    country: str
    role: str
    prefer_order: int
    flat_fee: int
    percent_fee: Decimal
    avg_delay_sec: int
    cut_off: str | None
    timezone: str
    risk_score: Decimal
    connector: str
    health_score: Decimal | None
    last_health_update: datetime | None
    failure_domains: tuple[str, ...]
    capabilities: Capabilities = field(default_factory=Capabilities)
