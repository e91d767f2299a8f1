"""Quorums as policies write them, read and written back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import cast

from molam.approvals.policy.quorum_tree import (
    AllOf,
    AnyOf,
    Leaf,
    Percentage,
    Quorum,
    Role,
    Stages,
    Users,
    choices,
    leaves,
    pin,
    roles_in,
    users_in,
    widened,
)
from molam.kernel.refusals import Kind, Refusal

__all__ = [
    "AllOf",
    "AnyOf",
    "Leaf",
    "Percentage",
    "PolicyMalformed",
    "Quorum",
    "Role",
    "Stages",
    "Users",
    "pin",
    "quorum_json",
    "read_quorum",
    "roles_in",
    "users_in",
    "widened",
]

DEPTH_MAX = 8
PARTS_MAX = 32
LEAVES_MAX = 64
CHOICES_MAX = 64
MIN_VOTES_MAX = 100
ROLES_MAX = 32
USERS_MAX = 200
NAME_LENGTH_MAX = 128
BASE_MAX = 100_000
DIGITS_MAX = 9
SHARE_MIN = Fraction(1, 1000)
PER_CENT_MIN, PER_CENT_MAX = 2, 100

_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{1,12})?")
_FRACTION = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_WHOLE = re.compile(r"[0-9]{1,9}")


class PolicyMalformed(Refusal):
    code = "policy-malformed"
    kind = Kind.BROKEN_RULE
    title = "The policy cannot be read"


def quorum_json(quorum: Quorum) -> dict[str, object]:
    """Write *quorum* in the specification's shape, so that equal ones are written equally."""
    match quorum:
        case Role():
            return _typed("role", {**_roles_json(quorum.roles), "min_votes": quorum.min_votes})
        case Percentage():
            about: dict[str, object] = {"percentage": str(quorum.share), "base": quorum.base}
            if quorum.roles:
                about |= _roles_json(quorum.roles)
            if quorum.pool:
                about["pool"] = list(quorum.pool)
            return _typed("percentage", about | _reserves_json(quorum))
        case Users():
            named = {"users": list(quorum.users), "min_votes": quorum.min_votes}
            return _typed("specific_users", named | _reserves_json(quorum))
        case AllOf():
            return _typed("all_of", list(map(quorum_json, quorum.parts)))
        case AnyOf():
            return _typed("any_of", list(map(quorum_json, quorum.parts)))
        case Stages():
            return _typed("stages", list(map(quorum_json, quorum.parts)))


def _typed(kind: str, value: object) -> dict[str, object]:
    return {"type": kind, "value": value}


def _roles_json(roles: frozenset[str]) -> dict[str, object]:
    return {"role": min(roles)} if len(roles) == 1 else {"roles": sorted(roles)}


def _reserves_json(leaf: Percentage | Users) -> dict[str, object]:
    return {"reserves": sorted(leaf.reserves)} if leaf.reserves else {}


def read_quorum(value: object, path: str = "required_quorum") -> Quorum:
    """
    Read a quorum in any of the shapes that are in use.

    The specification's ``{"type", "value": {...}}``, the flat form of the older
    rows (``{"type": "role", "role", "min_count"}``) and ours are understood. A
    quorum that names nobody is refused rather than filled by anybody, and so is
    a binary float, whose share is not the one that was written.

    Raises:
        PolicyMalformed: says where, and why.
    """
    quorum = _quorum(value, path, 1)
    if len(leaves(quorum)) > LEAVES_MAX:
        raise _refused(path, f"has more than {LEAVES_MAX} parts")
    if choices(quorum) > CHOICES_MAX:
        raise _refused(path, f"has more than {CHOICES_MAX} ways to be filled")
    return quorum


_READERS: dict[str, Callable[[Mapping[str, object], str, int], Quorum]] = {}
_SHARES = ("percentage", "percent", "threshold_pct")
_COUNTS = ("min_votes", "min_count")


def _quorum(value: object, path: str, depth: int) -> Quorum:
    if not isinstance(value, Mapping):
        raise _refused(path, "is an object with a type")
    if depth > DEPTH_MAX:
        raise _refused(path, f"is nested deeper than {DEPTH_MAX}")
    kind = value.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise _refused(f"{path}.type", f"is one of {', '.join(_READERS)}")
    return reader(cast("Mapping[str, object]", value), path, depth)


def _role(value: Mapping[str, object], path: str, _depth: int) -> Quorum:
    given, inside = _flat(value, path, {"role", "roles", "value", *_COUNTS, "threshold_pct"})
    roles = _roles(given, inside)
    counts = [key for key in (*_COUNTS, "value") if given.get(key) is not None]
    if len(counts) > 1:
        raise _refused(f"{inside}.{counts[1]}", f"says the same as {counts[0]}: write one")
    least = _whole(given[counts[0]], f"{inside}.{counts[0]}", MIN_VOTES_MAX) if counts else 1
    if given.get("threshold_pct") is None:
        return Role(roles, least)
    share = _share(given["threshold_pct"], f"{inside}.threshold_pct")
    # Both must hold. A share of at least this many people is at least that many people.
    return Percentage(roles, (), share, base=int((least - 1) / share) + 1)


def _percentage(value: Mapping[str, object], path: str, _depth: int) -> Quorum:
    given, inside = _flat(value, path, {"role", "roles", "pool", "base", *_SHARES})
    shares = [key for key in _SHARES if given.get(key) is not None]
    if len(shares) != 1:
        raise _refused(f"{inside}.percentage", "is a share such as 0.5, once")
    share = _share(given[shares[0]], f"{inside}.{shares[0]}")
    pool = _names(given["pool"], f"{inside}.pool", USERS_MAX) if "pool" in given else ()
    named = "role" in given or "roles" in given or not pool
    base = given.get("base")
    return Percentage(
        _roles(given, inside) if named else frozenset(),
        pool,
        share,
        0 if base is None else _whole(base, f"{inside}.base", BASE_MAX, least=0),
    )


def _users(value: Mapping[str, object], path: str, _depth: int) -> Quorum:
    given, inside = _flat(value, path, {"users", *_COUNTS})
    users = _names(given.get("users"), f"{inside}.users", USERS_MAX)
    counts = [key for key in _COUNTS if given.get(key) is not None]
    if not counts or given[counts[0]] == "all":
        return Users(users, len(users))
    least = _whole(given[counts[0]], f"{inside}.{counts[0]}", MIN_VOTES_MAX)
    if least > len(users):
        raise _refused(f"{inside}.{counts[0]}", f"is {least}, and only {len(users)} are named")
    return Users(users, least)


def _reader(
    node: type[AllOf | AnyOf | Stages],
) -> Callable[[Mapping[str, object], str, int], Quorum]:
    def read(value: Mapping[str, object], path: str, depth: int) -> Quorum:
        keys = value.keys() - {"type"}
        if keys not in ({"value"}, {"parts"}):
            raise _refused(path, "has its parts in value, and nothing else")
        (key,) = keys
        path, parts = f"{path}.{key}", value[key]
        if isinstance(parts, Mapping) and parts.keys() == {"parts"}:
            path, parts = f"{path}.parts", parts["parts"]
        if not isinstance(parts, list) or not 1 <= len(parts) <= PARTS_MAX:
            raise _refused(path, f"is a list of 1 to {PARTS_MAX} quorums")
        return node(tuple(_quorum(each, f"{path}[{i}]", depth + 1) for i, each in enumerate(parts)))

    return read


_READERS |= {
    "role": _role,
    "percentage": _percentage,
    "specific_users": _users,
    "all_of": _reader(AllOf),
    "any_of": _reader(AnyOf),
    "stages": _reader(Stages),
}


def _flat(
    value: Mapping[str, object], path: str, known: set[str]
) -> tuple[Mapping[str, object], str]:
    """Return what is in ``value``, or what stands flat beside the type, and its path."""
    inner = value.get("value")
    if isinstance(inner, Mapping):
        given, path, inside = dict(inner), f"{path}.value", known - {"value"}
        beside = value.keys() - {"type", "value"}
        if beside:
            raise _refused(f"{path.removesuffix('.value')}.{_shown(min(beside))}", "is not known")
    else:
        given, inside = {key: each for key, each in value.items() if key != "type"}, known
    for key in given:
        if key not in inside:
            raise _refused(f"{path}.{_shown(key)}", "is not known")
    return given, path


def _roles(given: Mapping[str, object], path: str) -> frozenset[str]:
    if "roles" in given and "role" in given:
        raise _refused(f"{path}.roles", "says the same as role: write one")
    if "roles" in given:
        return frozenset(_names(given["roles"], f"{path}.roles", ROLES_MAX))
    return frozenset({_name(given.get("role"), f"{path}.role")})


def _names(value: object, path: str, most: int) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= most:
        raise _refused(path, f"is a list of 1 to {most} names")
    names = tuple(_name(each, f"{path}[{i}]") for i, each in enumerate(value))
    if len(set(names)) < len(names):
        raise _refused(path, "names somebody twice")
    return names


def _name(value: object, path: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_LENGTH_MAX:
        raise _refused(path, "is a name")
    if value != value.strip() or not value.isprintable():
        raise _refused(path, "has space around it, or what cannot be seen")
    return value


def _whole(value: object, path: str, most: int, *, least: int = 1) -> int:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < DIGITS_MAX:
        text = str(int(value)) if value % 1 == 0 else ""
    whole = int(text) if _WHOLE.fullmatch(text) else None
    if whole is None or not least <= whole <= most:
        raise _refused(path, f"is a whole number from {least} to {most}")
    return whole


def _share(value: object, path: str) -> Fraction:
    """Read a share in (0, 1], or a percentage from 2 to 100, exactly as it is written."""
    share: Fraction | None = None
    if isinstance(value, float):
        raise _refused(path, 'is not a binary float: write it as text, "2/3" or "0.75"')
    text = str(value) if isinstance(value, int | Decimal | str) else ""
    if _DECIMAL.fullmatch(text):
        share = Fraction(text)
    elif (parts := _FRACTION.fullmatch(text)) and int(parts[2]):
        share = Fraction(int(parts[1]), int(parts[2]))
    if share is not None and PER_CENT_MIN <= share <= PER_CENT_MAX:
        share /= 100
    if share is None or not SHARE_MIN <= share <= 1:
        raise _refused(path, 'is a share from 0.001 to 1, such as 0.75 or "2/3"')
    return share


def _shown(key: object) -> str:
    return str(key)[:64]


def _refused(path: str, why: str) -> PolicyMalformed:
    return PolicyMalformed(f"{path} {why}.", path=path)
