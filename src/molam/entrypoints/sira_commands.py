"""``molam sira``: train the health model, judge it, and compare routers."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from pathlib import Path

import click
import numpy as np

from molam.entrypoints.local import database, read_settings
from molam.kernel.clock import SystemClock
from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database, ProcessRole, open_database
from molam.simulator import incidents, incidents_files, incidents_history, incidents_learned
from molam.simulator.incidents_replay import CLASSES, LEARNED, ROUTERS, Score, replay
from molam.sira import drift, drift_watch, registry
from molam.sira.drift import DriftState
from molam.sira.features import MINUTE_S
from molam.sira.health_model import HealthModel
from molam.sira.training import evaluation, history
from molam.sira.training.dataset import Rows, Stretch, rows_of

EXTRA = ("lightgbm", "matplotlib")
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_SEED = click.option("--seed", type=int, default=1, show_default=True)
_BANKS = click.option("--banks", type=click.IntRange(2, 24), default=6, show_default=True)
_DAYS = click.option("--days", type=click.IntRange(2, 730), default=90, show_default=True)
_INCIDENTS = click.option(
    "--incidents", type=_FOLDER, help="Folder of recorded incidents to live through again."
)
_SIMULATED = click.option(
    "--from-database/--simulated",
    "is_recorded",
    default=False,
    help="The health logs of this installation, or simulated banks (the default).",
)


class ModelsExtraMissing(Refusal):
    code = "models-extra-missing"
    kind = Kind.CONFLICT
    title = "Training needs an extra"


@click.group("sira", no_args_is_help=True)
def command() -> None:
    """Train and judge the health model; compare ways to route."""


@command.command("train")
@_SIMULATED
@_DAYS
@_BANKS
@_SEED
@_INCIDENTS
@click.option("--out", type=click.Path(file_okay=False, path_type=Path),
              help="Instead of MOLAM_HOME.")  # fmt: skip
def train(
    *, is_recorded: bool, days: int, banks: int, seed: int, incidents: Path | None,
    out: Path | None,
) -> None:  # fmt: skip
    """
    Train the health model, judge it on days it has not seen, and make it the current one.

    It serves only if it beats the filter there. At least 35 days are needed.
    """
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelsExtraMissing(
            f"Install it by `pip install 'molam[models]'`: {' and '.join(missing)} is missing."
        )
    try:
        run = importlib.import_module("molam.sira.training.run")
    except OSError as error:
        # LightGBM's wheel leaves OpenMP to the system; Debian calls it libgomp1.
        raise ModelsExtraMissing(f"LightGBM does not load: {error}.") from None
    if days < run.DAYS_MIN:
        raise run.HistoryTooShort(f"Training takes {run.DAYS_MIN} days at least; say --days.")
    # The first hours have no past and the last no future: neither is learned from.
    stretches = _stretches(
        is_recorded=is_recorded, days=days + 1, drawn=(banks, seed), folder=incidents
    )
    rows = rows_of(stretches, told=_Progress("rows"))
    now = SystemClock().now()
    model, files = run.train(
        rows,
        run.Order(
            version=f"health-{now:%Y%m%d-%H%M%S}-{seed}",
            source="recorded history" if is_recorded else "simulated history",
            seed=seed,
            banks=len(stretches),
            now=now,
        ),
        told=_say,
    )
    home = out or read_settings().molam_home
    folder = registry.keep(home, model.version, files)
    registry.point_to(home, model.version)
    click.echo(f"{folder}")
    click.echo(f"serves: {'yes' if model.serves else 'no'}; {model.why}")


@command.command("evaluate")
@_SIMULATED
@click.option("--days", type=click.IntRange(2, 730), default=14, show_default=True)
@_BANKS
@_SEED
@_INCIDENTS
def evaluate(
    *, is_recorded: bool, days: int, banks: int, seed: int, incidents: Path | None
) -> None:
    """Judge the current model against the filter on other days, and look for drift."""
    home = read_settings().molam_home
    version = registry.current_version(home)
    if version is None:
        raise registry.ModelRefused("No model has been trained; see `molam sira train --help`.")
    model = registry.open_folder(registry.models_folder(home) / version)
    stretches = _stretches(
        is_recorded=is_recorded, days=days, drawn=(banks, seed), folder=incidents
    )
    rows = rows_of(stretches, told=_Progress("rows"))
    click.echo(f"{model.version}: serves {'yes' if model.serves else 'no'}; {model.why}")
    _print_scores(model, rows)
    state = DriftState(version)
    drift_watch.review(model, rows, state)
    verdict = drift.verdict(state, model)
    click.echo(
        f"drift: PSI at most {verdict.psi_max:.3f} ({verdict.psi_feature or 'none'});"
        f" {verdict.reason or 'nothing to say'}"
    )


@command.command("replay")
@_INCIDENTS
@click.option("--model", type=_FOLDER, help="Folder of a trained version, to compare as well.")
@click.option("--days", type=click.IntRange(1, 365), default=14, show_default=True)
@_BANKS
@_SEED
def replay_(
    *, incidents: Path | None, model: Path | None, days: int, banks: int, seed: int
) -> None:
    """Let each router live through the same days, and print what it cost."""
    trace = _trace(incidents, days, banks, seed)
    routers = dict(ROUTERS)
    if model is not None:
        routers[LEARNED] = incidents_learned.making(model)
    click.echo(f"{banks} banks, {days} days, {len(trace.incidents)} incidents, seed {seed}")
    click.echo(f"{'router':28} {'regret bp':>9} {'switches/d':>10} {'false/d':>8}  missed")
    for name, making in routers.items():
        click.echo(_line(name, replay(trace, making)))


def _line(name: str, score: Score) -> str:
    missed = ", ".join(
        f"{score.missed[each]}/{score.outages[each]} of {each}" for _, each in CLASSES
    )
    return (
        f"{name:28} {score.regret_bp:9.1f} {score.switches_a_day:10.2f}"
        f" {score.false_failovers_a_day:8.2f}  {missed}"
    )


def _print_scores(model: HealthModel, rows: Rows) -> None:
    for head in model.heads:
        if head.target != "failure":
            continue
        window = rows.windows[head.window_minutes]
        tries, bad = np.array(window.tries), np.array(window.bad)
        kept = tries > 0
        if not kept.any():
            click.echo(f"{head.window_minutes} min: nothing to judge by")
            continue
        shares, weights = bad[kept] / tries[kept], tries[kept]
        said = np.array([head.probability(each) for each in rows.vectors])[kept]
        for name, by in (("model", said), ("filter", np.array(window.by_filter)[kept])):
            found = evaluation.scores(by, shares, weights)
            click.echo(
                f"{head.window_minutes} min, {name}: log loss {found.log_loss:.5f}, Brier"
                f" {found.brier:.5f}, calibration error {found.calibration_error:.4f},"
                f" AUC {found.auc:.3f}"
            )


def _trace(folder: Path | None, days: int, banks: int, seed: int) -> incidents.Trace:
    recorded = incidents_files.read(folder) if folder else ()
    return incidents.build(seed=seed, days=days, banks=banks, recorded=recorded)


def _stretches(
    *, is_recorded: bool, days: int, drawn: tuple[int, int], folder: Path | None
) -> list[Stretch]:
    if is_recorded:
        return _recorded(days)
    _say(f"simulating {days} days")
    last = SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)
    first = last.timestamp() - days * incidents.DAY_MIN * MINUTE_S
    return incidents_history.stretches(_trace(folder, days, *drawn), first=first)


def _recorded(days: int) -> list[Stretch]:
    async def read(dsn: str) -> list[Stretch]:
        db: Database = await open_database(
            dsn,
            ProcessRole.WORKER,
            application="molam sira",
            connections_max=2,
            statement_timeout_s=120,
        )
        try:
            return await history.recorded(db, days=days)
        finally:
            await db.close()

    with database(read_settings()) as settings:
        return asyncio.run(read(settings.database_dsn))


class _Progress:
    """Says every tenth of the way on stderr."""

    def __init__(self, what: str) -> None:
        self._what, self._said = what, -1

    def __call__(self, share: float) -> None:
        if int(share * 10) > self._said:
            self._said = int(share * 10)
            _say(f"{self._what}: {self._said * 10} %")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
