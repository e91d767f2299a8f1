"""Reading recorded incidents from a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from molam.simulator import incidents_files
from molam.simulator.incidents_files import IncidentsMissing

CLOUDS = "vendor,service_id,service_name,location,status,event_start_time,event_end_time\n"


def _folder(tmp_path: Path, *, rows: int) -> Path:
    (tmp_path / "traces").mkdir()
    lines = ["start_time,end_time,status,service"]
    lines += [f"{n * 7200.0},{n * 7200.0 + 600},0.{4 + n % 5},svc" for n in range(rows)]
    (tmp_path / "traces" / "svc.csv").write_text("\n".join(lines))
    events = [
        f'AWS,,"A, with a comma",here,3.0,2018-01-{day:02} 00:00:00,2018-01-{day:02} 02:00:00'
        for day in range(1, 26)
    ]
    events.append("AWS,,still open,here,1.0,2018-02-01 00:00:00,")
    events.append("AWS,,for ever,here,1.0,2018-02-01 00:00:00,2018-09-01 00:00:00")
    (tmp_path / "infra_incidents_compact.csv").write_text(CLOUDS + "\n".join(events))
    return tmp_path


def test_services_are_read_with_lengths_and_severities(tmp_path):
    clouds, service = incidents_files.read(_folder(tmp_path, rows=30))

    assert (clouds.name, service.name) == ("AWS", "svc")
    assert clouds.lengths == (120.0,) * 25
    assert set(clouds.severities) == {0.97}
    assert clouds.gaps[1:] == (22 * 60.0,) * 24
    assert service.lengths == (10.0,) * 30
    assert service.severities[:5] == (0.4, 0.5, 0.6, 0.7, 0.8)


def test_a_service_with_few_incidents_is_left_out(tmp_path):
    assert [each.name for each in incidents_files.read(_folder(tmp_path, rows=5))] == ["AWS"]


def test_a_folder_without_incidents_is_refused(tmp_path):
    with pytest.raises(IncidentsMissing, match="at least 20"):
        incidents_files.read(tmp_path)


def test_incidents_that_overlap_are_all_kept(tmp_path):
    (tmp_path / "traces").mkdir()
    rows = [f"{n * 60.0},{n * 60.0 + 600},0.5,svc" for n in range(25)]
    (tmp_path / "traces" / "svc.csv").write_text(
        "start_time,end_time,status,service\n" + "\n".join(rows) + "\nnonsense,1,2,3\n"
    )

    (service,) = incidents_files.read(tmp_path)

    assert len(service.lengths) == 25
    assert set(service.gaps) == {0.0}
