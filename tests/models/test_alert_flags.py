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
from molam.alerts.episodes import circles, flags
from molam.alerts.episodes.due import FLOOR, GROUP_WAIT, INTERVAL, REPEAT, due
from molam.alerts.episodes.flags import fits, flags_of, inhibited
from molam.alerts.episodes.model import AlertRow, InhibitionRow, SilenceRow

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
ID = UUID(int=1)
SEVERITIES = ("critical", "warning")


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


EQUAL = st.lists(st.sampled_from(["severity", "tenant_id"]), unique=True)
ASKED = st.lists(st.builds(lambda a, b, equal: rule(a, b, *equal), SIDES, SIDES, EQUAL), max_size=6)


def taken_in(asked: list[InhibitionRow]) -> list[InhibitionRow]:
    """Take in one after the other those that close no circle."""
    taken: list[InhibitionRow] = []
    for each in asked:
        if not circles.closes_circle(each, taken):
            taken.append(each)
    return taken


def ends_unwatched(alerts: list[AlertRow], rules: list[InhibitionRow]) -> bool:
    """Tell whether chains end by the rules alone, whichever of its inhibitors an alert takes."""
    by = {
        alert.id: {
            each.id
            for rule in rules
            for each in alerts
            if fits(rule.target, alert.labels)
            and fits(rule.source, each.labels)
            and all(alert.labels[name] == each.labels[name] for name in rule.equal)
        }
        for alert in alerts
    }
    while free := [id_ for id_, sources in by.items() if not sources]:
        for id_ in free:
            del by[id_]
        for sources in by.values():
            sources.difference_update(free)
    return not by


@given(ALERTS, ASKED)
def test_whatever_is_taken_in_closes_no_circle(alerts, asked):
    assert ends_unwatched(alerts, taken_in(asked))


def test_without_following_the_chain_rules_would_close_a_circle(monkeypatch):
    there = rule({"severity": "critical"}, {"severity": "warning"}, "tenant_id")
    back = rule({"severity": "warning"}, {"severity": "critical"})
    alerts = [an_alert_row(id=UUID(int=n), severity=each) for n, each in enumerate(SEVERITIES, 1)]
    assert circles.closes_circle(back, [there])
    assert ends_unwatched(alerts, taken_in([there, back]))
    monkeypatch.setattr(circles, "closes_circle", lambda *_: False)

    assert not ends_unwatched(alerts, taken_in([there, back]))


def test_what_agrees_in_its_kind_closes_no_circle_with_another_kind():
    quieter = rule({"severity": "critical"}, {"severity": "warning"}, "alert_type", "tenant_id")
    bank = rule({"alert_type": "payout_fail_rate"}, {"alert_type": "recon_match_drop"}, "tenant_id")

    assert not circles.closes_circle(bank, [quieter])
    assert circles.closes_circle(rule(bank.target, bank.source, "tenant_id"), [quieter, bank])
    assert not circles.closes_circle(
        rule(bank.target, bank.source, "tenant_id"), [quieter, replace(bank, enabled=False)]
    )


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
