"""Setting the flags of open alerts by what is in force, and letting go what was quiet."""

from __future__ import annotations

from molam.alerts.episodes import asking, quiet_store
from molam.alerts.episodes.flags import Flags, flags_of
from molam.alerts.episodes.model import SYSTEM, AlertRow
from molam.alerts.episodes.moves import Moves
from molam.kernel.clock import Instant
from molam.platform.db import Tx


async def reflag(tx: Tx, moves: Moves, *, now: Instant, by: str = SYSTEM) -> list[AlertRow]:
    """
    Judge every open alert anew, and return those that changed. The board is locked.

    What was quiet and is no longer is told, and looked at for what may be done.
    """
    alerts = await tx.all(quiet_store.LIST_OPEN)
    silences = await tx.all(quiet_store.LIST_IN_FORCE)
    inhibitions = await tx.all(quiet_store.LIST_INHIBITIONS)
    found = flags_of(alerts, silences, inhibitions, now=now)
    changed = [each for each in alerts if _has_changed(each, found[each.id])]
    if not changed:
        return []
    flags = [found[each.id] for each in changed]
    await tx.run(
        quiet_store.SET_FLAGS,
        ids=[each.id for each in changed],
        are_silenced=[each.is_silenced for each in flags],
        are_in_maintenance=[each.is_in_maintenance for each in flags],
        inhibited_bys=[each.inhibited_by for each in flags],
        now=now,
    )
    for alert, after in zip(changed, flags, strict=True):
        _note(moves, alert, after, by=by)
    freed = [
        alert
        for alert, after in zip(changed, flags, strict=True)
        if alert.is_quiet and not _is_quiet(alert, after)
    ]
    await asking.to_remedy(tx, [alert.id for alert in freed])
    for key in {alert.group_key for alert in freed}:
        await asking.to_tell(tx, key, at=now, now=now)
    return changed


def _has_changed(alert: AlertRow, flags: Flags) -> bool:
    return (alert.is_silenced, alert.is_in_maintenance, alert.inhibited_by) != (
        flags.is_silenced,
        flags.is_in_maintenance,
        flags.inhibited_by,
    )


def _is_quiet(alert: AlertRow, flags: Flags) -> bool:
    return (
        flags.is_silenced
        or flags.is_in_maintenance
        or flags.inhibited_by is not None
        or alert.is_flapping
    )


def _note(moves: Moves, alert: AlertRow, flags: Flags, *, by: str) -> None:
    if alert.is_silenced != flags.is_silenced:
        moves.add(alert.id, "silenced" if flags.is_silenced else "unsilenced", by)
    if alert.is_in_maintenance != flags.is_in_maintenance:
        moves.add(alert.id, "maintenance" if flags.is_in_maintenance else "maintenance_ended", by)
    if alert.inhibited_by is None and flags.inhibited_by is not None:
        moves.add(alert.id, "inhibited", SYSTEM, {"by_alert": str(flags.inhibited_by)})
    if alert.inhibited_by is not None and flags.inhibited_by is None:
        moves.add(alert.id, "uninhibited", SYSTEM, {"by_alert": str(alert.inhibited_by)})
