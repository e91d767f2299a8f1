"""Reading and writing what series have come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from molam.alerts.rules import series_store
from molam.alerts.rules.model import Rule, exact
from molam.alerts.rules.state import SeriesState, Waiting
from molam.platform.db import Tx

_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(tuple[Waiting, ...]).decode


async def lock(tx: Tx, fingerprints: Sequence[bytes]) -> dict[bytes, SeriesState]:
    """Lock those of these series that there are, in the order in which everybody does."""
    rows = await tx.all(series_store.LOCK_SERIES, fingerprints=list(fingerprints))
    return {row.fingerprint: state_of(row) for row in rows}


async def begin(
    tx: Tx, states: Sequence[SeriesState], rules: Mapping[bytes, Rule]
) -> dict[bytes, SeriesState]:
    """Begin series. One that somebody else begins at this moment is taken from there."""
    kinds = [rules[state.fingerprint] for state in states]
    made = await tx.all(
        series_store.INSERT_SERIES,
        fingerprints=[state.fingerprint for state in states],
        rule_ids=[rule.id for rule in kinds],
        rule_versions=[rule.version for rule in kinds],
        alert_types=[rule.alert_type for rule in kinds],
        metrics=[rule.metric for rule in kinds],
        tenant_types=[rule.tenant_type for rule in kinds],
        tenant_ids=[state.tenant_id for state in states],
        currencies=[state.currency for state in states],
        begin_ats=[state.since for state in states],
        last_ats=[state.last_at for state in states],
        last_values=[state.last_value for state in states],
    )
    ours = {row.fingerprint for row in made}
    found = {state.fingerprint: state for state in states if state.fingerprint in ours}
    theirs = [state.fingerprint for state in states if state.fingerprint not in ours]
    return found | await lock(tx, theirs) if theirs else found


async def write(tx: Tx, states: Sequence[SeriesState]) -> None:
    await tx.run(
        series_store.WRITE_SERIES,
        fingerprints=[state.fingerprint for state in states],
        rule_ids=[state.rule_id for state in states],
        rule_versions=[state.rule_version for state in states],
        states=[state.state for state in states],
        sinces=[state.since for state in states],
        judged_ats=[state.judged_at for state in states],
        due_ats=[state.due_at for state in states],
        last_ats=[state.last_at for state in states],
        last_values=[state.last_value for state in states],
        previous_values=[state.previous_value for state in states],
        contexts=[state.context for state in states],
        waitings=[_ENCODE(state.waiting) if state.waiting else b"" for state in states],
        severities=[state.severity for state in states],
        opened_bys=[state.opened_by for state in states],
        recents=[state.recent for state in states],
        recent_counts=[state.recent_count for state in states],
        flap_ats=[state.flap_at for state in states],
        are_flapping=[state.is_flapping for state in states],
        episodes=[state.episode for state in states],
        late_samples=[state.late_samples for state in states],
    )


def state_of(row: series_store.SeriesRow) -> SeriesState:
    return SeriesState(
        fingerprint=row.fingerprint,
        rule_id=row.rule_id,
        rule_version=row.rule_version,
        tenant_id=row.tenant_id,
        currency=row.currency,
        state=row.state,
        since=row.since,
        judged_at=row.judged_at,
        last_at=row.last_at,
        last_value=exact(row.last_value),
        flap_at=row.flap_at,
        previous_value=None if row.previous_value is None else exact(row.previous_value),
        context=row.context,
        waiting=_DECODE(row.waiting) if row.waiting else (),
        due_at=row.due_at,
        recent=row.recent,
        recent_count=row.recent_count,
        is_flapping=row.is_flapping,
        episode=row.episode,
        severity=row.severity,
        opened_by=row.opened_by,
        late_samples=row.late_samples,
    )
