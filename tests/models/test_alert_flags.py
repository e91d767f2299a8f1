"""Flags of alerts: who is quiet because of what, and that somebody is always told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting import an_alert_row
from molam.alerts.episodes import flags
from molam.alerts.episodes.due import FLOOR, GROUP_WAIT, INTERVAL, REPEAT, due
from molam.alerts.episodes.flags import fits, flags_of, inhibited
from molam.alerts.episodes.model import AlertRow, InhibitionRow, SilenceRow

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
ID = UUID(int=1)


def rule(source: dict[str, str], target: dict[str, str], *equal: str) -> InhibitionRow:
    return InhibitionRow(f"{source}{target}", source, target, list(equal), enabled=True)


def silence(matcher: dict[str, str], **changed: Any) -> SilenceRow:
    row = SilenceRow(
        UUID(int=9), "silence", matcher, "why", NOW, NOW + timedelta(hours=1), "me", NOW, None,
        None, True, True,
    )  # fmt: skip
    return replace(row, **changed)


def test_a_matcher_that_names_nothing_fits_nobody():
    assert not fits({}, an_alert_row().labels)
    assert fits({"tenant_id": "agent-123", "severity": "critical"}, an_alert_row().labels)
    assert not fits({"tenant_id": "agent-124"}, an_alert_row().labels)


def test_silence_and_maintenance_are_told_apart():
    alert = an_alert_row()
    by = flags_of([alert], [silence({"tenant_type": "agent"}, kind="maintenance")], [], now=NOW)

    assert (by[alert.id].is_silenced, by[alert.id].is_in_maintenance) == (False, True)


def test_an_alerts_own_silence_ends_by_itself():
    alert = an_alert_row(suppressed_until=NOW + timedelta(minutes=5))

    assert flags_of([alert], [], [], now=NOW)[alert.id].is_silenced
    later = flags_of([alert], [], [], now=NOW + timedelta(minutes=5))
    assert not later[alert.id].is_silenced


def test_a_critical_alert_quiets_the_warning_of_the_same_tenant_alone():
    critical = an_alert_row(id=UUID(int=1))
    warning = an_alert_row(id=UUID(int=2), severity="warning", currency="EUR")
    other = an_alert_row(id=UUID(int=3), severity="warning", tenant_id="agent-9")
    rules = [rule({"severity": "critical"}, {"severity": "warning"}, "tenant_id")]

    assert inhibited([critical, warning, other], rules) == {warning.id: critical.id}
    assert inhibited([warning, other], rules) == {}


def test_an_alert_that_fits_both_sides_does_not_inhibit_itself():
    alone = an_alert_row()

    assert inhibited([alone], [rule({"tenant_type": "agent"}, {"alert_type": "float_low"})]) == {}


SIDES = st.dictionaries(
    st.sampled_from(["severity", "tenant_id"]),
    st.sampled_from(["critical", "warning", "agent-1", "agent-2"]),
    min_size=1,
)
ALERTS = st.lists(
    st.tuples(st.sampled_from(["critical", "warning"]), st.sampled_from(["agent-1", "agent-2"])),
    max_size=8,
).map(
    lambda made: [
        an_alert_row(id=UUID(int=n + 1), severity=severity, tenant_id=tenant)
        for n, (severity, tenant) in enumerate(made)
    ]
)
RULES = st.lists(st.builds(rule, SIDES, SIDES), max_size=4)


def ends(alerts: list[AlertRow], found: dict[UUID, UUID]) -> bool:
    """Tell whether every chain of inhibitors ends at an alert that nobody inhibits."""
    for alert in alerts:
        at, seen = alert.id, set()
        while at in found:
            if at in seen:
                return False
            seen.add(at)
            at = found[at]
    return True


@given(ALERTS, RULES)
def test_whatever_the_rules_every_chain_ends_at_somebody_who_is_told(alerts, rules):
    assert ends(alerts, inhibited(alerts, rules))


def test_without_looking_along_the_chain_two_alerts_would_quiet_each_other(monkeypatch):
    monkeypatch.setattr(flags, "_leads_to", lambda source, alert, _: source == alert)
    alerts = [an_alert_row(id=UUID(int=n), tenant_id=f"agent-{n}") for n in (1, 2)]
    both = [rule({"severity": "critical"}, {"severity": "critical"})]

    assert not ends(alerts, inhibited(alerts, both))


def opened(alerts: list[AlertRow], seconds: float, **known: Any) -> list[UUID]:
    given = {"last_told": None, "floors": {}} | known
    found = due(alerts, now=NOW + timedelta(seconds=seconds), **given)
    return [each.id for each in found.opened]


def test_a_warning_waits_for_company_and_a_critical_one_does_not():
    warning = an_alert_row(severity="warning", created_at=NOW)
    critical = an_alert_row(created_at=NOW, id=UUID(int=7))

    assert opened([warning], 0) == []
    assert opened([warning], GROUP_WAIT.total_seconds()) == [warning.id]
    assert opened([critical], 0) == [critical.id]
    assert opened([warning, critical], 0) == [warning.id, critical.id]


def test_a_group_that_was_told_is_told_again_after_the_interval():
    warning = an_alert_row(severity="warning", created_at=NOW)

    assert opened([warning], INTERVAL.total_seconds() - 1, last_told=NOW) == []
    assert opened([warning], INTERVAL.total_seconds(), last_told=NOW) == [warning.id]


def test_what_nobody_took_on_is_said_again_after_four_hours():
    alert = an_alert_row(created_at=NOW, notified_at=NOW, told_severity="critical")

    assert opened([alert], REPEAT.total_seconds() - 1) == []
    assert opened([alert], REPEAT.total_seconds()) == [alert.id]
    assert opened([replace(alert, state="acknowledged")], REPEAT.total_seconds()) == []


@pytest.mark.parametrize(
    "flag", ["is_silenced", "is_inhibited", "is_in_maintenance", "is_flapping"]
)
def test_whatever_keeps_an_alert_quiet_keeps_people_untold(flag):
    assert opened([replace(an_alert_row(created_at=NOW), **{flag: True})], 3600) == []


def test_a_floor_that_recovery_does_not_reset_holds_back_all_but_the_worse():
    again = an_alert_row(severity="warning", created_at=NOW)
    floors = {("float_low", "agent", "agent-123"): (NOW, "warning")}

    assert opened([again], FLOOR.total_seconds() - 1, floors=floors) == []
    assert opened([again], FLOOR.total_seconds(), floors=floors) == [again.id]
    worse = replace(again, severity="critical")
    assert opened([worse], 0, floors=floors) == [worse.id]


def test_the_end_is_told_through_silences_to_those_who_were_told():
    over = an_alert_row(
        state="resolved", resolved_at=NOW, notified_at=NOW, told_severity="critical",
        is_silenced=True,
    )  # fmt: skip
    later = NOW + GROUP_WAIT

    assert due([over], last_told=None, floors={}, now=later).ended == [over]
    untold = replace(over, notified_at=None)
    assert due([untold], last_told=None, floors={}, now=later).ended == []
    flapping = replace(over, is_flapping=True)
    assert due([flapping], last_told=None, floors={}, now=later).ended == []
