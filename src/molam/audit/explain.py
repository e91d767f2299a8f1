"""What became of an action and why, from its audit entries alone."""

# Like verify.py, this imports the standard library only, and says the rules of counting a
# second time. It reads the `data` of these events:
#   action.created    action_type, schema, params, target, origin, policy {name, version,
#                     rules}, electors [{id, roles}], created_by, expires_at
#   vote.cast         decision, seat, roles, reason, votes {approve, reject, abstain}
#   action.escalated  level, roles
#   action.approved   counted [{voter, seat}]
#   action.stale      code, why it is out of date; "intent-changed" is tampering
# and from each, `state`: what the action was when the entry was written, which is after the
# transition that the entry tells of. Without it the state is as before, at first "pending".

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Body = dict[str, Any]

_HASH = re.compile(r"[0-9a-f]{64}")

_UNTIL_SAID = "pending"

_TOLD = ("why", "window", "level", "roles", "error", "code")
_TAMPERED = "intent-changed"


@dataclass
class Replayed:
    """The state that the entries of one action come to."""

    state: str | None = None
    level: int = 0
    votes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The `data` of each voter's latest vote, those taken back left out."""
    counted: dict[str, int] = field(default_factory=dict)
    """What the latest vote says they came to: a delegation that ended took its vote along."""

    def count(self, decision: str) -> int:
        return sum(1 for vote in self.votes.values() if vote.get("decision") == decision)

    def as_row(self) -> dict[str, object]:
        """Return the same columns that the action's row has."""
        return {
            "state": self.state,
            "level": self.level,
            "votes_approve": self.counted.get("approve", self.count("approve")),
            "votes_reject": self.counted.get("reject", self.count("reject")),
            "votes_abstain": self.counted.get("abstain", self.count("abstain")),
        }


def replay(bodies: Sequence[Body]) -> Replayed:
    """Follow the entries of one action, in their order."""
    replayed = Replayed()
    for body in bodies:
        data, voter = body["data"], body["actor"]["id"]
        if body["event"] == "vote.cast":
            replayed.votes.pop(voter, None)
            replayed.counted = data.get("votes", {})
            if data.get("decision") != "withdrawn":
                replayed.votes[voter] = data
        elif body["event"] == "action.escalated":
            replayed.level = int(data.get("level", replayed.level + 1))
        replayed.state = data.get("state", replayed.state or _UNTIL_SAID)
    return replayed


def explain(bodies: Sequence[Body]) -> Iterator[str]:
    """Tell what was asked for, who voted how, and why that was enough or not."""
    asked = next((body for body in bodies if body["event"] == "action.created"), None)
    if asked is None:
        yield "The entry that created the action is not here, so nothing can be explained."
        return
    yield from _asked(asked)
    seen: list[Body] = []
    for body in bodies[1:]:
        seen.append(body)
        yield _line(body)
        if body["event"] == "action.approved":
            yield from _why(asked["data"], replay(seen), _roles_added(seen), body["data"])
    yield f"It is now: {replay(bodies).state}"


def _asked(asked: Body) -> Iterator[str]:
    data = asked["data"]
    policy, target = data.get("policy", {}), data.get("target", {})
    yield f"{data.get('action_type')} on {target.get('type')} {target.get('id')}"
    yield f"  parameters: {_flat(data.get('params', {}))}"
    yield f"  asked {asked['ts']} by {asked['actor']['id']}, origin {data.get('origin')}"
    yield f"  policy {policy.get('name')} version {policy.get('version')}"
    rules = policy.get("rules", {})
    for quorum in _quorums(rules):
        yield f"    needs {_words(quorum)}"
    yield f"    needs at least {rules.get('required_ratio', '0')} of the votes in favour"
    yield f"  open until {data.get('expires_at')}"
    electors = [
        f"{each['id']} ({', '.join(each['roles']) or 'by name'})"
        for each in data.get("electors", [])
    ]
    yield f"  could decide: {'; '.join(electors) or 'nobody'}"


def _line(body: Body) -> str:
    data, actor = body["data"], body["actor"]["id"]
    line = f"{body['ts']}  {body['event']}"
    if body["event"] == "vote.cast":
        line += f": {actor} {data.get('decision')} [{', '.join(data.get('roles', []))}]"
        if data.get("seat") not in {None, actor}:
            line += f" in the seat of {data['seat']}"
        if data.get("reason"):
            line += f": {_reason(data['reason'])}"
        return line
    told = {key: data[key] for key in _TOLD if key in data}
    line = f"{line} by {actor}" + (f": {_flat(told)}" if told else "")
    if data.get("code") == _TAMPERED:
        line += (
            "\n  WHAT WAS STORED WAS NOT WHAT WAS APPROVED: somebody changed it. Nothing was done."
        )
    return line


def _reason(text: str) -> str:
    """Show a reason, or of one that is kept elsewhere the beginning of its hash."""
    return f"reason with hash {text[:16]}..." if _HASH.fullmatch(text) else repr(text)


def _why(
    asked: dict[str, Any], replayed: Replayed, added: frozenset[str], said: dict[str, Any]
) -> Iterator[str]:
    """Count again, and compare with what the engine said."""
    rules = asked.get("policy", {}).get("rules", {})
    a, r = replayed.count("approve"), replayed.count("reject")
    counting = {"approve"} if rules.get("counting", "approvals") == "approvals" else {
        "approve", "reject", "abstain",
    }  # fmt: skip
    votes = [
        {"person": vote.get("seat") or voter, "roles": frozenset(vote.get("roles", []))}
        for voter, vote in replayed.votes.items()
        if vote.get("decision") in counting
    ]
    electors = [frozenset(each["roles"]) for each in asked.get("electors", [])]
    held = [_is_filled(each, votes, added, electors) for each in _quorums(rules)]
    for quorum, filled in zip(_quorums(rules), held, strict=True):
        yield f"  {'yes' if filled else 'NO'}: {_words(quorum)}"
    ratio = Fraction(str(rules.get("required_ratio", 0)))
    enough = a * ratio.denominator >= ratio.numerator * (a + r)
    yield f"  {'yes' if enough else 'NO'}: {a} in favour, {r} against, at least {ratio} in favour"
    counted = [f"{each.get('voter')}" for each in said.get("counted", [])]
    yield f"  counted: {', '.join(counted) or 'nobody'}"
    if not enough or not all(held):
        yield "  THIS DOES NOT FOLLOW from the votes above."


def _is_filled(
    quorum: dict[str, Any],
    votes: Sequence[dict[str, Any]],
    added: frozenset[str],
    electors: Sequence[frozenset[str]],
) -> bool:
    """Whether *votes* fill *quorum*; people are not matched to single places of an all_of."""
    kind, value = quorum["type"], quorum["value"]
    if kind in {"all_of", "any_of", "stages"}:
        parts = (_is_filled(each, votes, added, electors) for each in value)
        return any(parts) if kind == "any_of" else all(parts)
    roles, people = _named_in(value)
    roles |= added | frozenset(value.get("reserves", []))
    given = {v["person"] for v in votes if v["roles"] & roles or v["person"] in people}
    if kind != "percentage":
        return len(given) >= int(value["min_votes"])
    share = Fraction(str(value["percentage"]))
    base = max(int(value.get("base", 0)), sum(1 for each in electors if each & roles))
    return len(given) >= max(1, -(-share.numerator * base // share.denominator))


def _quorums(rules: dict[str, Any]) -> list[dict[str, Any]]:
    """List every quorum that has to be filled: the policy's, and those of floors."""
    both = [rules, *rules.get("also", [])]
    return [each["required_quorum"] for each in both if each.get("required_quorum")]


def _roles_added(bodies: Sequence[Body]) -> frozenset[str]:
    """Return the roles that escalation let decide as well."""
    added: frozenset[str] = frozenset()
    for body in bodies:
        if body["event"] == "action.escalated":
            added |= frozenset(body["data"].get("roles", []))
    return added


def _named_in(value: dict[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
    roles = value.get("roles", [value["role"]] if "role" in value else [])
    return frozenset(roles), frozenset([*value.get("users", []), *value.get("pool", [])])


def _words(quorum: dict[str, Any]) -> str:
    kind, value = quorum["type"], quorum["value"]
    if kind in {"all_of", "any_of", "stages"}:
        between = {"all_of": " and ", "any_of": " or ", "stages": ", then "}[kind]
        return f"({between.join(map(_words, value))})"
    roles, people = _named_in(value)
    who = " or ".join(sorted(roles | people))
    if kind == "percentage":
        return f"{value['percentage']} of {who}"
    return f"{value['min_votes']} of {who}"


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(each)}" for key, each in value.items())
    if isinstance(value, list):
        return " ".join(map(_flat, value))
    return str(value)
