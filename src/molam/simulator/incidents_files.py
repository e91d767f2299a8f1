"""Reads recorded incidents: a folder of uptime traces, and a list of what clouds reported."""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from molam.kernel.refusals import Kind, Refusal
from molam.simulator.incidents import DAY_MIN, Recorded, lots, severity

CLOUDS_FILE = "infra_incidents_compact.csv"
TRACES_FOLDER = "traces"
SERIES_INCIDENTS_MIN = 20
SEVERITY_MIN = 0.1
"""Milder ones nobody would route around; they are within what banks decline every day."""
_REPORTED_SEVERITIES = {"0": 0.15, "1": 0.35, "2": 0.65, "3": 0.97}
"""From informational to down, as AWS and GCP number them; Azure does not say."""


class IncidentsMissing(Refusal):
    code = "incidents-missing"
    kind = Kind.MALFORMED
    title = "There are no incidents to replay"


def read(folder: Path) -> tuple[Recorded, ...]:
    """
    Read every service with at least 20 incidents worth routing around.

    Raises:
        IncidentsMissing: the folder has none of them.
    """
    clouds = folder / CLOUDS_FILE
    found = list(_clouds(clouds)) if clouds.exists() else []
    for path in sorted((folder / TRACES_FOLDER).glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as lines:
            spans = [_span(row) for row in csv.DictReader(lines)]
        found.append(_recorded(path.stem, [each for each in spans if each is not None]))
    kept = tuple(each for each in found if len(each.lengths) >= SERIES_INCIDENTS_MIN)
    if not kept:
        raise IncidentsMissing(
            f"{folder} holds neither {CLOUDS_FILE} nor {TRACES_FOLDER}/*.csv with at least"
            f" {SERIES_INCIDENTS_MIN} incidents of one service."
        )
    return kept


Span = tuple[float, float, float]
"""Beginning and end in minutes, and severity."""


def _span(row: dict[str, str]) -> Span | None:
    """Read a line of a trace, whose times are in seconds."""
    try:
        begins, ends = float(row["start_time"]) / 60, float(row["end_time"]) / 60
        hard = float(row["status"])
    except (KeyError, TypeError, ValueError):
        return None
    if ends <= begins or hard < SEVERITY_MIN or ends - begins > DAY_MIN:
        # Whatever stands open for days is a page that nobody updated.
        return None
    return begins, ends, min(hard, 0.99)


def _clouds(path: Path) -> Iterator[Recorded]:
    """Read what clouds reported, each vendor a service; severities not given are drawn."""
    draw = lots(CLOUDS_FILE)
    vendors: dict[str, list[Span]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            begins, ends = _minutes(row["event_start_time"]), _minutes(row["event_end_time"])
            if begins is None or ends is None or not begins < ends <= begins + DAY_MIN:
                continue
            level = row["status"].partition(".")[0]
            hard = _REPORTED_SEVERITIES.get(level) or severity(draw)
            vendors[row["vendor"]].append((begins, ends, hard))
    for vendor, spans in sorted(vendors.items()):
        yield _recorded(vendor, spans)


def _minutes(text: str | None) -> float | None:
    try:
        moment = datetime.strptime(text or "", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment.timestamp() / 60


def _recorded(name: str, spans: Sequence[Span]) -> Recorded:
    """Keep every incident in order; one that begins within another follows it at once."""
    ordered = sorted(spans)
    gaps = [0.0] * min(1, len(ordered))
    ended = ordered[0][1] if ordered else 0.0
    for (_, _, _), (begins, ends, _) in itertools.pairwise(ordered):
        gaps.append(max(0.0, begins - ended))
        ended = max(ended, ends)
    if len(gaps) > 1:
        gaps[0] = sum(gaps) / (len(gaps) - 1)
    return Recorded(
        name=name,
        gaps=tuple(gaps),
        lengths=tuple(ends - begins for begins, ends, _ in ordered),
        severities=tuple(hard for _, _, hard in ordered),
    )
