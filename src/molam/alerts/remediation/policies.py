"""Changing what may be done by itself: less at once, more once others have agreed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from molam.alerts.remediation import fitting, policy_store, store
from molam.alerts.remediation.commands import locked_policy, policy_of
from molam.alerts.remediation.model import BreakerShut, Policy, PolicyRefused
from molam.alerts.runtime import Watch
from molam.approvals import staling
from molam.approvals import store as approvals
from molam.approvals.model import Actor, NewAction
from molam.approvals.store import ActionRow
from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.mesh.members import floors
from molam.platform.actions import PreconditionChanged, Registry
from molam.platform.db import Database, Tx

CHANGE = "CHANGE_REMEDIATION_POLICY"
TARGET = "remediation_policy"
CHAIN = "alerts"
_DECIDERS = frozenset({"ops_admin", "finance_ops", "compliance"})
_CHANNELS = frozenset({"email", "slack", "webhook", "inbox"})
_DAY_S = 86_400

_Share = int | float
_Channel = Annotated[str, Meta(min_length=1, max_length=32)]


class PolicyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is."""

    enabled: bool | UnsetType = UNSET
    auto_action: dict[str, Any] | UnsetType = UNSET
    bounds: dict[str, Any] | UnsetType = UNSET
    auto_threshold: _Share | UnsetType = UNSET
    cooldown_seconds: Annotated[int, Meta(ge=0, le=7 * _DAY_S)] | UnsetType = UNSET
    require_multi_sig: bool | UnsetType = UNSET
    required_approvals: Annotated[int, Meta(ge=1, le=10)] | UnsetType = UNSET
    notify_channels: Annotated[list[_Channel], Meta(max_length=10)] | UnsetType = UNSET
    targets_per_hour: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET
    share_of_targets: _Share | UnsetType = UNSET
    verify_hold_s: Annotated[int, Meta(ge=0, le=_DAY_S)] | UnsetType = UNSET
    verify_within_s: Annotated[int, Meta(ge=10, le=_DAY_S)] | UnsetType = UNSET

    def given(self) -> dict[str, Any]:
        return {
            name: value
            for name in self.__struct_fields__
            if (value := getattr(self, name)) is not UNSET
        }


@dataclass(frozen=True, slots=True)
class Changed:
    """The policy as it holds now, and the action that waits if it would allow more."""

    policy: Policy
    action: ActionRow | None = None
    loosened: tuple[str, ...] = ()


async def listed(db: Database) -> list[Policy]:
    return await db.read(policy_store.LIST_POLICIES)


async def change(
    db: Database, watch: Watch, alert_type: str, asked: PolicyChange, *, actor: Actor
) -> Changed:
    """
    Change a policy: what only tightens holds at once, what loosens two others decide.

    Raises:
        PolicyUnknown
        PolicyRefused: it could never work.
        TwinOpen: another change of it waits already.
    """
    async with db.transaction("remediation.change_policy") as tx:
        before = await policy_of(tx, alert_type)
        after = changed(before, asked.given(), watch.approvals.registry)
        looser = loosened(before, after)
        if after == before:
            return Changed(before)
        await _end_passed(tx, alert_type, before.version if looser else None)
        if looser:
            action = await _ask(tx, watch, after, asked, actor=actor)
            return Changed(before, action, tuple(looser))
        if (await locked_policy(tx, alert_type)).version != before.version:
            raise PolicyRefused("Somebody changed it just now: read it again.")
        written = await write(tx, before, after, by=actor, at=watch.clock.now())
        return Changed(written)


async def _end_passed(tx: Tx, alert_type: str, version: int | None) -> None:
    """End the change that waits, unless it was asked of *version*: it could not be carried out."""
    waits = await tx.one(
        approvals.FIND_BY_KEY_OR_TWIN, idempotency_key=None, twin=f"{CHANGE}|{TARGET}/{alert_type}"
    )
    if waits is not None and (waits.expect or {}).get("version") != version:
        await staling.go_stale(tx, waits.id, why=PreconditionChanged.code)


async def _ask(
    tx: Tx, watch: Watch, after: Policy, asked: PolicyChange, *, actor: Actor
) -> ActionRow:
    params = {
        "alert_type": after.alert_type,
        "version": after.version,
        "document": _json(asked.given()),
    }
    return await floors.ask(
        tx,
        watch.approvals,
        NewAction(origin="module", action_type=CHANGE, params=params),
        actor,
        least=floors.any_of(_DECIDERS, 2),
        name="Looser remediation",
    )


def changed(before: Policy, given: Mapping[str, object], registry: Registry | None) -> Policy:
    """
    Raises:
        PolicyRefused: it could never work, or what it asks for is outside of its own bounds.
    """
    fields: dict[str, Any] = dict(given)
    for name in ("auto_threshold", "share_of_targets"):
        if name in fields:
            if not 0 <= fields[name] <= 1:
                raise PolicyRefused(f"{name} is a share: from 0 to 1.")
            fields[name] = Decimal(str(fields[name])).quantize(Decimal("0.0001"))
    after = replace(before, **fields)
    if (after.auto_action, after.bounds) != (before.auto_action, before.bounds):
        fitting.check(after, registry)
    if unknown := sorted(set(after.notify_channels) - _CHANNELS):
        raise PolicyRefused(f"There is no channel {unknown[0][:32]!r}.")
    if after.verify_hold_s > after.verify_within_s:
        raise PolicyRefused("It cannot hold for longer than is waited for it.")
    return after


def loosened(before: Policy, after: Policy) -> list[str]:
    """Name what lets more happen by itself: all that is not plainly less."""
    found = {
        "enabled": after.enabled and not before.enabled,
        "auto_action": after.auto_action != before.auto_action,
        "bounds": after.bounds != before.bounds,
        "auto_threshold": after.auto_threshold < before.auto_threshold,
        "cooldown_seconds": after.cooldown_seconds < before.cooldown_seconds,
        "require_multi_sig": before.require_multi_sig and not after.require_multi_sig,
        "required_approvals": after.required_approvals < before.required_approvals,
        "notify_channels": not set(before.notify_channels) <= set(after.notify_channels),
        "targets_per_hour": after.targets_per_hour > before.targets_per_hour,
        "share_of_targets": after.share_of_targets > before.share_of_targets,
        "verify_hold_s": after.verify_hold_s < before.verify_hold_s,
        "verify_within_s": after.verify_within_s > before.verify_within_s,
    }
    return [name for name, is_looser in found.items() if is_looser]


async def write(tx: Tx, before: Policy, after: Policy, *, by: Actor, at: Instant) -> Policy:
    """Store a policy whose row is locked, in the record. It locks its end: call this last."""
    await tx.run(
        policy_store.WRITE_POLICY,
        alert_type=after.alert_type,
        enabled=after.enabled,
        auto_action=after.auto_action,
        bounds=after.bounds,
        auto_threshold=after.auto_threshold,
        cooldown_seconds=after.cooldown_seconds,
        require_multi_sig=after.require_multi_sig,
        required_approvals=after.required_approvals,
        notify_channels=after.notify_channels,
        targets_per_hour=after.targets_per_hour,
        share_of_targets=after.share_of_targets,
        verify_hold_s=after.verify_hold_s,
        verify_within_s=after.verify_within_s,
        by=by.id,
    )
    fact = Fact(
        event="remediation_policy.changed",
        actor_kind=by.kind,
        actor_id=by.id,
        data={
            "alert_type": after.alert_type,
            "changes": {
                name: {"before": old, "after": new} for name, old, new in differences(before, after)
            },
        },
    )
    await append_to(tx, CHAIN, [fact], at=at)
    return await policy_of(tx, after.alert_type)


def differences(before: Policy, after: Policy) -> list[tuple[str, object, object]]:
    """List the fields that a change writes, with what they were and will be, as JSON."""
    old, new = _json(before.as_json()), _json(after.as_json())
    return [
        (name, old[name], new[name])
        for name in PolicyChange.__struct_fields__
        if old[name] != new[name]
    ]


async def close_breaker(
    db: Database, *, action_type: str, target_type: str, target_id: str, by: str
) -> None:
    """
    Let remedies be proposed again for a target where two were without effect.

    Raises:
        BreakerShut: none is open there.
    """
    async with db.transaction("remediation.close_breaker") as tx:
        closed = await tx.run(
            store.CLOSE_BREAKER,
            action_type=action_type,
            target_type=target_type,
            target_id=target_id,
            by=by,
        )
        if not closed:
            raise BreakerShut("Open ones can be listed by GET /api/remediation-policies.")


def _json(document: Mapping[str, object]) -> dict[str, Any]:
    """Write shares as text, so that no binary float is hashed or recorded."""
    written: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(_exact(document)))
    return written


def _exact(value: object) -> object:
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, Mapping):
        return {name: _exact(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_exact(each) for each in value]
    return value
