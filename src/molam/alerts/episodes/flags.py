"""Which alerts keep quiet, and because of what: pure, and of all open alerts at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from molam.alerts.episodes.model import AlertRow, InhibitionRow, SilenceRow, how_bad
from molam.kernel.clock import Instant

Labels = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Flags:
    is_silenced: bool
    is_in_maintenance: bool
    inhibited_by: UUID | None


def fits(matcher: Mapping[str, str], labels: Labels) -> bool:
    """Tell whether *labels* agree in everything that *matcher* names; nothing named fits nobody."""
    return bool(matcher) and all(labels.get(name) == value for name, value in matcher.items())


def flags_of(
    alerts: Sequence[AlertRow],
    silences: Iterable[SilenceRow],
    inhibitions: Iterable[InhibitionRow],
    *,
    now: Instant,
) -> dict[UUID, Flags]:
    """Judge every open alert by the others that are open, and by what is in force."""
    in_force = list(silences)
    found = {}
    inhibitors = inhibited(alerts, inhibitions)
    for alert in alerts:
        fitting = {each.kind for each in in_force if fits(each.matcher, alert.labels)}
        own = alert.suppressed_until is not None and alert.suppressed_until > now
        found[alert.id] = Flags(
            own or "silence" in fitting, "maintenance" in fitting, inhibitors.get(alert.id)
        )
    return found


# Note [Somebody is always told]
#
# Two rules may point at each other, or one may fit an alert on both its sides. So an alert
# is only inhibited by one whose own chain of inhibitors does not lead back to it: every
# chain ends at an alert that nothing inhibits. The worst and then the oldest go first.


def inhibited(alerts: Sequence[AlertRow], inhibitions: Iterable[InhibitionRow]) -> dict[UUID, UUID]:
    """Name for each alert that is inhibited the one because of which it is."""
    ordered = sorted(alerts, key=lambda each: (-how_bad(each.severity), each.created_at, each.id))
    by_rule = [
        (each, _sources(ordered, each)) for each in inhibitions if each.enabled and each.source
    ]
    found: dict[UUID, UUID] = {}
    for alert in ordered:
        for rule, sources in by_rule:
            if not fits(rule.target, alert.labels):
                continue
            agreeing = sources.get(_equal(rule, alert.labels), ())
            source = next((one for one in agreeing if not _leads_to(one, alert.id, found)), None)
            if source is not None:
                found[alert.id] = source
                break
    return found


def _sources(
    alerts: Sequence[AlertRow], rule: InhibitionRow
) -> dict[tuple[str | None, ...], list[UUID]]:
    sources: defaultdict[tuple[str | None, ...], list[UUID]] = defaultdict(list)
    for alert in alerts:
        if fits(rule.source, alert.labels):
            sources[_equal(rule, alert.labels)].append(alert.id)
    return sources


def _equal(rule: InhibitionRow, labels: Labels) -> tuple[str | None, ...]:
    return tuple(labels.get(name) for name in rule.equal)


def _leads_to(source: UUID, alert: UUID, found: Mapping[UUID, UUID]) -> bool:
    at: UUID | None = source
    while at is not None:
        if at == alert:
            return True
        at = found.get(at)
    return False
