"""Reading and writing the rules of a policy: the specification's keys, and ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import time
from fractions import Fraction
from typing import Any, Literal, TypeVar, cast

from molam.approvals.policy import durations
from molam.approvals.policy.durations import Calendar, Duration, DurationMalformed
from molam.approvals.policy.quorum import (
    PolicyMalformed,
    quorum_json,
    read_quorum,
)
from molam.approvals.policy.rule_words import sentence
from molam.approvals.policy.ruleset import DEFAULT, Demand, Escalation, Ladder, Rules, read_ratio
from molam.approvals.policy.strictness import (
    at_level,
    is_tighter,
    levels,
    normalised,
    strictest,
    tightened,
)

__all__ = [
    "DEFAULT",
    "Demand",
    "Escalation",
    "Ladder",
    "Rules",
    "at_level",
    "is_tighter",
    "levels",
    "normalised",
    "read_ratio",
    "read_rules",
    "rules_json",
    "sentence",
    "strictest",
    "tightened",
]

T = TypeVar("T")

ROLES_MAX = 32
ESCALATIONS_MAX = 9
SECONDS_MAX = durations.SECONDS_MAX
_TEXT_MAX = 64
_DAY_S = 86400

_KEYS = frozenset(
    {
        "required_quorum",
        "also",
        "required_ratio",
        "timeout_seconds",
        "escalation_role",
        "escalation",
        "auto_execute",
        "execution_window",
        "not_before_delay_s",
        "counting",
        "veto_roles",
        "reject_threshold",
        "objection_window_s",
        "min_role_age_s",
        "step_up_max_age_s",
        "typed_confirmation",
        "voters_may_execute",
        "calendar",
    }
)


def read_rules(policy_json: object, *, moves_money: bool = False) -> Rules:
    """
    Read a policy, refusing what it does not know.

    A key left out has its default; an explicit 0 is 0.

    Raises:
        PolicyMalformed: says which key, and why.
    """
    given = _object(policy_json, "policy", _KEYS)
    if "required_quorum" not in given:
        raise PolicyMalformed("policy.required_quorum is missing: say who must agree.")
    quorum = read_quorum(given["required_quorum"])
    ratio = _read(given, "required_ratio", read_ratio, Fraction(3, 5))
    role, steps = _ladder(given, "policy")
    also = [_demand(each, f"policy.also[{i}]") for i, each in enumerate(_list(given, "also"))]
    rules = Rules(
        quorum=quorum,
        also=tuple(each.quorum for each in also),
        also_ladders=tuple(each.ladder for each in also),
        ratio=ratio,
        timeout=_duration(given, "timeout_seconds"),
        escalation_role=role,
        escalation=steps,
        auto_execute=_flag(given, "auto_execute"),
        execution_window=_duration(given, "execution_window"),
        not_before_delay_s=_count(given, "not_before_delay_s", 0),
        counting=_read(given, "counting", _counting, "approvals"),
        veto_roles=frozenset(map(_role, _list(given, "veto_roles"))),
        reject_threshold=_read(given, "reject_threshold", _threshold, None),
        objection_window_s=_count(given, "objection_window_s", 0),
        min_role_age_s=_count(given, "min_role_age_s", _DAY_S),
        step_up_max_age_s=_read(given, "step_up_max_age_s", _seconds, None),
        typed_confirmation=_flag(given, "typed_confirmation"),
        voters_may_execute=_flag(given, "voters_may_execute"),
        calendar=_read(given, "calendar", _calendar, Calendar()),
    )
    if moves_money and rules.counting == "participation":
        raise PolicyMalformed("policy.counting: what moves money counts approvals only.")
    return normalised(rules)


def rules_json(rules: Rules) -> dict[str, Any]:
    """Write *rules* so that `read_rules` gives them back; equal rules are written equally."""
    first, *rest = normalised(rules).demands
    return {
        "required_quorum": quorum_json(first.quorum),
        **_ladder_json(first.ladder),
        "also": [
            {"required_quorum": quorum_json(each.quorum), **_ladder_json(each.ladder)}
            for each in rest
        ],
        "required_ratio": str(rules.ratio),
        "timeout_seconds": durations.written(rules.timeout),
        "auto_execute": rules.auto_execute,
        "execution_window": durations.written(rules.execution_window),
        "not_before_delay_s": rules.not_before_delay_s,
        "counting": rules.counting,
        "veto_roles": sorted(rules.veto_roles),
        "reject_threshold": rules.reject_threshold,
        "objection_window_s": rules.objection_window_s,
        "min_role_age_s": rules.min_role_age_s,
        "step_up_max_age_s": rules.step_up_max_age_s,
        "typed_confirmation": rules.typed_confirmation,
        "voters_may_execute": rules.voters_may_execute,
        "calendar": {
            "country": rules.calendar.country,
            "timezone": rules.calendar.timezone,
            "opens": rules.calendar.opens.isoformat("minutes"),
            "closes": rules.calendar.closes.isoformat("minutes"),
            "weekend": sorted(rules.calendar.weekend),
        },
    }


def _demand(value: object, path: str) -> Demand:
    given = _object(value, path, frozenset({"required_quorum", "escalation_role", "escalation"}))
    if "required_quorum" not in given:
        raise PolicyMalformed(f"{path}.required_quorum is missing.")
    return Demand(read_quorum(given["required_quorum"]), Ladder(*_ladder(given, path)))


def _ladder(given: Mapping[str, object], path: str) -> tuple[str | None, tuple[Escalation, ...]]:
    steps = _list(given, "escalation")
    if len(steps) > ESCALATIONS_MAX:
        raise PolicyMalformed(f"{path}.escalation has at most {ESCALATIONS_MAX} steps.")
    read = [_step(each, f"{path}.escalation[{i}]") for i, each in enumerate(steps)]
    order = [durations.seconds_of(each.after) for each in read]
    if order != sorted(set(order)):
        raise PolicyMalformed(f"{path}.escalation goes from earlier to later.")
    return _read(given, "escalation_role", _role, None), tuple(read)


def _step(value: object, path: str) -> Escalation:
    given = _object(value, path, frozenset({"after", "add_roles", "notify", "replace"}))
    if "after" not in given or "add_roles" not in given:
        raise PolicyMalformed(f"{path} needs after and add_roles.")
    return Escalation(
        after=_duration(given, "after"),
        add_roles=_roles(given["add_roles"]),
        notify=tuple(sorted(set(map(_role, _list(given, "notify"))))),
        replace=_flag(given, "replace"),
    )


def _ladder_json(ladder: Ladder) -> dict[str, Any]:
    return {
        "escalation_role": ladder.role,
        "escalation": [
            {
                "after": durations.written(each.after),
                "add_roles": sorted(each.add_roles),
                "notify": list(each.notify),
                "replace": each.replace,
            }
            for each in ladder.steps
        ],
    }


def _object(value: object, path: str, known: frozenset[str]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise PolicyMalformed(f"{path} is an object.")
    for key in value:
        if key not in known:
            raise PolicyMalformed(f"{path}.{str(key)[:64]} is not known.")
    return cast("Mapping[str, object]", value)


def _list(given: Mapping[str, object], key: str) -> list[object]:
    value = given.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > ROLES_MAX:
        raise PolicyMalformed(f"policy.{key} is a list of at most {ROLES_MAX}.")
    return value


def _read(given: Mapping[str, object], key: str, read: Callable[[object], T], default: T) -> T:
    """Read one key; null stands for its absence, as in the specification's rows."""
    value = given.get(key)
    if value is None:
        return default
    try:
        return read(value)
    except PolicyMalformed as error:
        raise PolicyMalformed(f"policy.{key}: {error.detail}") from None


def _duration(given: Mapping[str, object], key: str) -> Duration:
    value = given.get(key)
    if value is None:
        return Duration(seconds=_DAY_S)
    try:
        read = durations.read_duration(value)
    except DurationMalformed as error:
        raise PolicyMalformed(f"policy.{key}: {error.detail}") from None
    if read.seconds == 0:
        raise PolicyMalformed(f"policy.{key} is longer than 0 seconds.")
    return read


def _flag(given: Mapping[str, object], key: str) -> bool:
    value = given.get(key)
    if value is not None and not isinstance(value, bool):
        raise PolicyMalformed(f"policy.{key} is true or false.")
    return bool(value)


def _count(given: Mapping[str, object], key: str, default: int) -> int:
    return _read(given, key, _seconds, default)


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= SECONDS_MAX:
        raise PolicyMalformed(f"write whole seconds between 0 and {SECONDS_MAX}.")
    return value


def _threshold(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:  # noqa: PLR2004
        raise PolicyMalformed("write a number of rejections from 1.")
    return value


def _counting(value: object) -> Literal["approvals", "participation"]:
    if value == "approvals":
        return "approvals"
    if value == "participation":
        return "participation"
    raise PolicyMalformed("write approvals or participation.")


def _role(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _TEXT_MAX:
        raise PolicyMalformed("write the name of a role.")
    return value


def _roles(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= ROLES_MAX:
        raise PolicyMalformed(f"write a list of 1 to {ROLES_MAX} roles.")
    return frozenset(map(_role, value))


def _calendar(value: object) -> Calendar:
    known = frozenset({"country", "timezone", "opens", "closes", "weekend"})
    given, usual = _object(value, "calendar", known), Calendar()
    country = given.get("country", usual.country)
    timezone = given.get("timezone", usual.timezone)
    if country not in durations.countries():
        raise PolicyMalformed("country is one whose holidays are known: SN, CI, NG.")
    if timezone not in durations.timezones():
        raise PolicyMalformed("timezone is a name such as Africa/Dakar.")
    opens = _hour(given.get("opens", "08:00"))
    closes = _hour(given.get("closes", "18:00"))
    weekend = given.get("weekend", [5, 6])
    days = weekend if isinstance(weekend, list) else [None]
    if any(type(day) is not int or day not in range(7) for day in days) or len(set(days)) > 6:  # noqa: PLR2004
        raise PolicyMalformed("weekend lists days from 0 (Monday) to 6, not all of them.")
    if opens >= closes:
        raise PolicyMalformed("opens is before closes.")
    return replace(
        usual,
        country=country,
        timezone=timezone,
        opens=opens,
        closes=closes,
        weekend=frozenset(cast("list[int]", days)),
    )


def _hour(value: object) -> time:
    try:
        read = time.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        read = None
    if read is None or read.tzinfo is not None:
        raise PolicyMalformed("hours are written 08:00.")
    return read
