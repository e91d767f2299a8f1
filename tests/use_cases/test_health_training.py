"""Training a health model: in order of time, judged on days it has not seen, the same by seed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from learned_health import a_model, as_files
from molam.entrypoints import sira_commands
from molam.simulator import incidents, incidents_history
from molam.sira import drift, drift_watch, features, registry
from molam.sira.drift import DriftState
from molam.sira.features import Minute
from molam.sira.health_model import read
from molam.sira.training.dataset import Rows, Stretch, Window, rows_of

pytest.importorskip("lightgbm", reason="the extra `models` is not installed")
pytest.importorskip("matplotlib", reason="the extra `models` is not installed")

FIRST = datetime(2026, 9, 7, tzinfo=UTC)
NOW = FIRST + timedelta(days=40)


def _run():
    from molam.sira.training import run

    return run


@pytest.fixture(scope="module")
def nightly() -> Rows:
    """A bank that stands still each night for a batch: what a calendar knows and a filter not."""

    def minute(place: int) -> Minute:
        night = (place // 60) % 24 == 2
        # Fixed, and yet no pattern that trees could learn.
        luck = place * 2_654_435_761 % 1000 / 1000
        failed = luck < (0.9 if night else 0.01)
        return Minute(at=FIRST.timestamp() + 60 * place, probes=1, probe_failures=int(failed))

    return rows_of([Stretch("b", [minute(place) for place in range(37 * 1440)])])


@pytest.fixture(scope="module")
def trained(nightly: Rows):
    run = _run()
    order = run.Order("v1", "a test", seed=3, banks=1, now=NOW, rounds=25)
    return run.train(nightly, order)


def test_a_model_that_beats_the_filter_serves(trained):
    model, files = trained

    assert model.serves
    assert "beats the filter" in model.why
    assert set(files) == {
        "model.json", "REPORT.md", "CARD.md", "reliability.svg", "log_loss.svg", "importance.svg"
    }  # fmt: skip


def test_it_expects_the_batch_before_it_begins(trained, nightly: Rows):
    model, _ = trained
    hour = features.NAMES.index("expected_failure")
    at = [datetime.fromtimestamp(each, UTC) for each in nightly.at]
    before, noon = (
        next(
            vector
            for when, vector in zip(at, nightly.vectors, strict=True)
            if (when.hour, when.minute) == clock and when > NOW - timedelta(days=9)
        )
        for clock in ((1, 55), (12, 0))
    )

    said = [read(model, each, window_minutes=15).expected_failure for each in (before, noon)]

    assert before[hour] < -3  # The filter sees no reason to worry.
    assert said[0] > 0.5
    assert said[1] < 0.05


def test_the_report_says_what_was_decided_and_why(trained):
    model, files = trained
    report, card = files["REPORT.md"].decode(), files["CARD.md"].decode()

    assert report.startswith("# Health model v1: evaluation\n\nServed: it beats")
    assert re.search(r"Difference -0\.\d+ \[-0\.\d+, -0\.\d+\] over 1[45] days", report)
    assert "| held out | 2026-09-29 |" in report
    assert model.features_digest[:16] in card
    assert files["reliability.svg"].startswith(b"<?xml")


def test_the_same_seed_makes_the_same_bytes(trained, nightly: Rows):
    run = _run()
    _, files = trained

    _, again = run.train(nightly, run.Order("v1", "a test", seed=3, banks=1, now=NOW, rounds=25))

    assert again == files


def test_a_model_that_does_not_beat_the_filter_says_so(nightly: Rows):
    """The batch moves to the afternoon when the judging begins; the filter sees it there."""
    run = _run()
    moved = next(n for n, at in enumerate(nightly.at) if at > nightly.at[-1] - 14 * 86_400)
    half_a_day = 12 * 12

    def turned(values: list[float]) -> list[float]:
        late = values[moved:]
        return [*values[:moved], *late[half_a_day:], *late[:half_a_day]]

    windows = {
        width: Window(turned(each.tries), turned(each.bad), turned(each.by_filter))
        for width, each in nightly.windows.items()
    }
    rows = Rows(nightly.at, nightly.vectors, nightly.usual, windows)

    model, files = run.train(rows, run.Order("v2", "a test", seed=1, banks=1, now=NOW, rounds=10))

    assert not model.serves
    assert not any(head.serves for head in model.heads if head.target == "failure")
    assert files["REPORT.md"].startswith(b"# Health model v2: evaluation\n\nNot served: it does")


def test_too_short_a_history_is_refused():
    run = _run()
    rows = rows_of([Stretch("b", [Minute(at=60.0 * n, probes=1) for n in range(4 * 1440)])])

    with pytest.raises(run.HistoryTooShort, match="35 days"):
        run.train(rows, run.Order("v", "a test", seed=1, banks=1, now=NOW))


def test_what_comes_after_never_changes_what_was_known():
    trace = incidents.build(seed=2, days=3, banks=2)
    whole = incidents_history.stretches(trace, first=FIRST.timestamp())
    cut = 2 * 1440
    shorter = [
        Stretch(s.bank, s.minutes[:cut], s.country, s.neighbours, s.maintenance) for s in whole
    ]

    known, later = rows_of(shorter), rows_of(whole)

    assert len(known) > 100
    assert known.vectors == later.vectors[: len(known)]
    assert known.windows[60].bad == later.windows[60].bad[: len(known)]


def test_the_trained_model_is_kept_served_and_watched(trained, nightly: Rows, tmp_path):
    model, files = trained
    registry.keep(tmp_path, "v1", files)
    registry.point_to(tmp_path, "v1")
    assert registry.load(tmp_path).model == model
    state = DriftState("v1")

    drift_watch.review(model, nightly, state)
    seen = state.rows
    drift_watch.review(model, nightly, state)

    assert state.rows == seen  # What was seen once is not seen again.
    assert not drift.verdict(state, model).is_frozen


def test_training_without_the_extra_says_which(monkeypatch):
    monkeypatch.setattr(sira_commands, "EXTRA", ("lightgbm", "nothing_of_that_name"))

    ended = CliRunner().invoke(sira_commands.command, ["train", "--days", "40"])

    assert isinstance(ended.exception, sira_commands.ModelsExtraMissing)
    assert "pip install 'molam[models]'" in ended.exception.detail
    assert "nothing_of_that_name" in ended.exception.detail


def test_training_on_too_few_days_is_refused_before_any_is_simulated(monkeypatch):
    monkeypatch.setattr(sira_commands, "EXTRA", ())
    monkeypatch.setattr(sira_commands, "_stretches", lambda **_asked: pytest.fail("simulated"))

    ended = CliRunner().invoke(sira_commands.command, ["train", "--days", "34"])

    assert getattr(ended.exception, "code", None) == "history-too-short"
    assert "35 days at least" in str(getattr(ended.exception, "detail", ""))


def test_the_fewest_days_suffice_for_training():
    from molam.sira.training import run

    def rows(days: int) -> Rows:
        return rows_of(
            sira_commands._stretches(is_recorded=False, days=days, drawn=(1, 1), folder=None)
        )

    assert len(run._split(rows(run.DAYS_MIN + 1)).parts) == 3
    # The command simulates that day more: without it the same history is too short.
    with pytest.raises(run.HistoryTooShort):
        run._split(rows(run.DAYS_MIN))


def test_a_replay_prints_every_router():
    ended = CliRunner().invoke(sira_commands.command, ["replay", "--days", "1", "--banks", "2"])

    assert ended.exit_code == 0
    assert "filter, controller" in ended.output
    assert "50 % circuit breaker" in ended.output


def test_evaluating_without_a_model_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("MOLAM_HOME", str(tmp_path))

    ended = CliRunner().invoke(sira_commands.command, ["evaluate"])

    assert isinstance(ended.exception, registry.ModelRefused)


def test_evaluating_compares_the_current_model_with_the_filter(monkeypatch, tmp_path):
    monkeypatch.setenv("MOLAM_HOME", str(tmp_path))
    registry.keep(tmp_path, "health-1", as_files(a_model()))
    registry.point_to(tmp_path, "health-1")

    ended = CliRunner().invoke(
        sira_commands.command, ["evaluate", "--days", "2", "--banks", "2", "--seed", "5"]
    )

    assert ended.exit_code == 0, ended.exception
    assert "health-1: serves yes" in ended.output
    assert "60 min, model: log loss" in ended.output
    assert "60 min, filter: log loss" in ended.output
    assert "drift: PSI at most" in ended.output
