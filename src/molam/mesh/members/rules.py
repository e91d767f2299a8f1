"""The rules of a mesh policy, with their usual values, and whether a change of them loosens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.kernel.digests import decimal_text
from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal

Check = Literal["kyc_verified", "contract_signed"]

_Minutes = Annotated[int, Meta(ge=0, le=10_080)]
_Count = Annotated[int, Meta(ge=0, le=1000)]
_Weight = Annotated[int, Meta(ge=1, le=1_000_000)]
_Step = Annotated[int, Meta(ge=1, le=100)]


_PLACES_MAX = 6
_ALL = 100
_SHARE = (Decimal(0), Decimal(1))
_SURENESS = (Decimal("0.5"), Decimal(1))
_PERCENT = (Decimal(0), Decimal(100))
_DECIMALS: Mapping[str, tuple[Decimal, Decimal]] = MappingProxyType(
    {
        "auto_confidence_threshold": _SURENESS,
        "max_cost_increase_pct": (Decimal(0), Decimal(1000)),
        "leave_p_down": _SHARE,
        "leave_gap_points": _PERCENT,
        "return_p_down": _SHARE,
        "reorder_gap_points": _PERCENT,
        "reorder_probability": _SURENESS,
        "panic_share_pct": _PERCENT,
        "max_ejected_capacity_pct": _PERCENT,
        "value_cap_pct": _PERCENT,
        "inflow_p95_factor": _PERCENT,
        "direct_p_down": _SHARE,
    }
)


def check_decimal(name: str, value: Decimal, least: Decimal, most: Decimal) -> None:
    """Make sure that a number lies in its range, and has no more places than anybody means."""
    if not value.is_finite() or not least <= value <= most:
        raise ValueError(f"{name} is between {least} and {most}")
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > _PLACES_MAX:
        raise ValueError(f"{name} has at most {_PLACES_MAX} decimal places")


class RulesRefused(Refusal):
    code = "mesh-rules-refused"
    kind = Kind.BROKEN_RULE
    title = "These rules cannot be a policy's"


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What the controller may do alone, how sure it must be, and how much it may move.

    Amounts are minor units of the region's approval currency, probabilities are shares,
    and points are hundredths of a share.
    """

    mode: Literal["auto", "approval_required"] = "approval_required"
    auto_failover_enabled: bool = False
    auto_confidence_threshold: Decimal = Decimal("0.85")
    """The probability that a move is right from which it may be made alone."""
    approval_required_threshold: Annotated[int, Meta(ge=0, le=MINOR_MAX)] | None = None
    """A payout above it never moves without approval; None: the region's own threshold."""
    max_cascading_depth: Annotated[int, Meta(ge=1, le=20)] = 3
    allowed_crossborder: bool = True
    require_multisig_for_new_member: bool = True
    rollback_window_hours: Annotated[int, Meta(ge=1, le=24)] = 24
    max_cost_increase_pct: Decimal = Decimal(10)
    compliance_checks: Annotated[tuple[Check, ...], Meta(max_length=2)] = (
        "kyc_verified",
        "contract_signed",
    )

    leave_p_down: Decimal = Decimal("0.8")
    leave_gap_points: Decimal = Decimal("0.3")
    leave_evaluations: Annotated[int, Meta(ge=1, le=100)] = 3
    return_p_down: Decimal = Decimal("0.2")
    return_hold_minutes: _Minutes = 5
    return_probes_ok: _Count = 5
    return_hold_factor_max: Annotated[int, Meta(ge=1, le=64)] = 8
    reorder_gap_points: Decimal = Decimal("0.3")
    reorder_probability: Decimal = Decimal("0.95")
    reorder_every_minutes: _Minutes = 60
    flap_penalty: _Weight = 1000
    flap_half_life_minutes: Annotated[int, Meta(ge=1, le=10_080)] = 60
    flap_suppress: _Weight = 6000
    flap_reuse: _Weight = 750
    flap_cap_minutes: _Minutes = 240
    cooldown_minutes: _Minutes = 15
    applies_per_hour: _Count = 5
    panic_share_pct: Decimal = Decimal(50)
    panic_domains: Annotated[int, Meta(ge=1, le=100)] = 3
    panic_window_minutes: Annotated[int, Meta(ge=1, le=1440)] = 2
    max_ejected_members: _Count = 1
    max_ejected_capacity_pct: Decimal = Decimal(33)
    value_cap_pct: Decimal = Decimal(25)
    inflow_p95_factor: Decimal = Decimal(2)
    gradual_steps: Annotated[tuple[_Step, ...], Meta(min_length=1, max_length=20)] = (
        5,
        25,
        50,
        100,
    )
    step_minutes: _Minutes = 5
    step_outcomes_min: _Count = 20
    direct_p_down: Decimal = Decimal("0.99")
    enforcing_pct: Annotated[int, Meta(ge=0, le=100)] = 100
    practice: bool = False
    """Whether a small share of new payouts goes to the next bank now and then, to see it work."""
    practice_share_pct: Annotated[int, Meta(ge=1, le=25)] = 5
    practice_minutes: Annotated[int, Meta(ge=5, le=120)] = 30
    practice_every_days: Annotated[int, Meta(ge=1, le=90)] = 7
    practice_hour: Annotated[int, Meta(ge=0, le=23)] = 3
    """A quiet hour, by the clock of the bank that has the payouts."""

    def __post_init__(self) -> None:
        for name, (least, most) in _DECIMALS.items():
            check_decimal(name, getattr(self, name), least, most)
        if self.return_p_down >= self.leave_p_down:
            raise ValueError(
                "return_p_down is below leave_p_down, or a bank is left and taken at once"
            )
        if self.direct_p_down < self.leave_p_down:
            raise ValueError("direct_p_down is at least leave_p_down")
        if self.flap_reuse >= self.flap_suppress:
            raise ValueError("flap_reuse is below flap_suppress")
        steps = list(self.gradual_steps)
        if steps != sorted(set(steps)) or steps[-1] != _ALL:
            raise ValueError("gradual_steps rise to 100")
        if len(set(self.compliance_checks)) != len(self.compliance_checks):
            raise ValueError("compliance_checks names each check once")


_OLDER_NAME = "min_confidence_for_auto"


def read_rules(given: Mapping[str, object], *, base: Rules | None = None) -> Rules:
    """
    Read rules strictly; whatever is left out is as in *base*, or has its usual value.

    ``min_confidence_for_auto`` is the older name of ``auto_confidence_threshold``.

    Raises:
        RulesRefused: says which field, and what was expected.
    """
    fields = dict(given)
    if _OLDER_NAME in fields:
        older = fields.pop(_OLDER_NAME)
        newer = fields.setdefault("auto_confidence_threshold", older)
        if str(newer) != str(older):
            raise RulesRefused(
                f"{_OLDER_NAME} and auto_confidence_threshold are one rule; give one of them."
            )
    known = {} if base is None else msgspec.to_builtins(base)
    try:
        return msgspec.convert({**known, **fields}, Rules)
    except msgspec.ValidationError as error:
        raise RulesRefused(_sentence(error)) from None


def rules_json(rules: Rules) -> dict[str, Any]:
    """Write rules whole, decimals as text that keeps their value."""
    written = msgspec.to_builtins(rules, builtin_types=(Decimal,))
    plain = {
        name: decimal_text(value) if isinstance(value, Decimal) else value
        for name, value in written.items()
    }
    return {**plain, _OLDER_NAME: plain["auto_confidence_threshold"]}


def _sentence(error: msgspec.ValidationError) -> str:
    return f"{str(error).replace('`$.', '`').rstrip('.')}."


# Note [To loosen]
#
# A change loosens when it lets the controller do something alone, sooner, oftener, with
# less certainty or with more money, than before. Every rule is on one side: more of it
# loosens, or less of it does. So two policies that loosen neither way are the same.

_Looser = Callable[[Any, Any], bool]


def _more(before: Any, after: Any) -> bool:
    return bool(after > before)


def _less(before: Any, after: Any) -> bool:
    return bool(after < before)


def _threshold_rises(before: int | None, after: int | None) -> bool:
    # None is the region's threshold, which is unknown here: any other number may be higher.
    return before != after and (before is None or after is None or after > before)


def _reaches_sooner(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Tell whether at some step more has moved than would have by then."""
    whole = (100,) * max(len(before), len(after))
    return any(new > old for old, new in zip((*before, *whole), (*after, *whole), strict=False))


def _becomes_auto(before: str, after: str) -> bool:
    return after == "auto" and before != "auto"


def _is_another(before: int, after: int) -> bool:
    # Which hour is quiet, nobody can tell from the number.
    return before != after


def _loses(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    return not set(before) <= set(after)


_LOOSER: Mapping[str, _Looser] = MappingProxyType(
    {
        "mode": _becomes_auto,
        "auto_failover_enabled": _more,
        "auto_confidence_threshold": _less,
        "approval_required_threshold": _threshold_rises,
        "max_cascading_depth": _more,
        "allowed_crossborder": _more,
        "require_multisig_for_new_member": _less,
        "rollback_window_hours": _more,
        "max_cost_increase_pct": _more,
        "compliance_checks": _loses,
        "leave_p_down": _less,
        "leave_gap_points": _less,
        "leave_evaluations": _less,
        "return_p_down": _more,
        "return_hold_minutes": _less,
        "return_probes_ok": _less,
        "return_hold_factor_max": _less,
        "reorder_gap_points": _less,
        "reorder_probability": _less,
        "reorder_every_minutes": _less,
        "flap_penalty": _less,
        "flap_half_life_minutes": _less,
        "flap_suppress": _more,
        "flap_reuse": _more,
        "flap_cap_minutes": _less,
        "cooldown_minutes": _less,
        "applies_per_hour": _more,
        "panic_share_pct": _more,
        "panic_domains": _more,
        "panic_window_minutes": _less,
        "max_ejected_members": _more,
        "max_ejected_capacity_pct": _more,
        "value_cap_pct": _more,
        "inflow_p95_factor": _more,
        "gradual_steps": _reaches_sooner,
        "step_minutes": _less,
        "step_outcomes_min": _less,
        "direct_p_down": _less,
        "enforcing_pct": _more,
        "practice": _more,
        "practice_share_pct": _more,
        "practice_minutes": _more,
        "practice_every_days": _less,
        "practice_hour": _is_another,
    }
)
assert _LOOSER.keys() == set(Rules.__struct_fields__)


def loosens(before: Rules, after: Rules) -> list[str]:
    """List the rules by which *after* allows more than *before*; see Note [To loosen]."""
    return [
        name
        for name, is_looser in _LOOSER.items()
        if is_looser(getattr(before, name), getattr(after, name))
    ]


def differs(before: Rules, after: Rules) -> list[str]:
    """List the rules that are not the same in both."""
    return [
        name for name in Rules.__struct_fields__ if getattr(before, name) != getattr(after, name)
    ]


def needs_compliance(loosened: list[str]) -> bool:
    """Tell whether compliance, too, has to agree to what is loosened."""
    return bool({"mode", "allowed_crossborder", "compliance_checks"} & set(loosened))
