"""Says in words what was trained, how well it does and what it is not for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from molam.sira.health_model import HealthModel, Target
from molam.sira.training.evaluation import Duel, Scores


@dataclass(frozen=True, slots=True)
class Trial:
    """One head on the held-out days. For ``degraded`` there is no champion to beat."""

    target: Target
    window_minutes: int
    model: Scores
    champion: Scores | None
    usual: Scores
    duel: Duel | None
    trees: int
    calibration: str
    positives: float
    serves: bool
    why: str


@dataclass(frozen=True, slots=True)
class Days:
    """How the days were divided, oldest first, and how many rows each part has."""

    train: tuple[str, str, int]
    calibration: tuple[str, str, int]
    held_out: tuple[str, str, int]
    banks: int


def evaluation(model: HealthModel, trials: Sequence[Trial], days: Days) -> str:
    """Return the evaluation report in Markdown."""
    lines = [
        f"# Health model {model.version}: evaluation",
        "",
        f"{'Served' if model.serves else 'Not served'}: {model.why}.",
        "",
        *_days(days),
        "",
        "Log loss and Brier score are of a single try; smaller is better. *Usual* always says",
        "the mean of the held-out days. The difference is the model's log loss minus the",
        "filter's, with a 95 % interval from drawing whole days.",
        "",
        "| window | target | predictor | log loss | Brier | calibration error | AUC |",
        "|---|---|---|---|---|---|---|",
    ]
    for trial in trials:
        for name, each in (
            ("model", trial.model),
            ("filter", trial.champion),
            ("usual", trial.usual),
        ):
            if each is not None:
                lines.append(
                    f"| {trial.window_minutes} min | {trial.target} | {name} |"
                    f" {each.log_loss:.5f} | {each.brier:.5f} | {each.calibration_error:.4f} |"
                    f" {each.auc:.3f} |"
                )
    lines += ["", "## Decisions", ""]
    for trial in trials:
        against = ""
        if trial.duel is not None:
            duel = trial.duel
            against = (
                f" Difference {duel.difference:+.6f} [{duel.low:+.6f}, {duel.high:+.6f}]"
                f" over {duel.days} days."
            )
        lines.append(
            f"- {trial.target}, {trial.window_minutes} min: {trial.trees} trees, calibration"
            f" {trial.calibration} ({trial.positives:,.0f} positives). {trial.why}.{against}"
        )
    lines += [
        "",
        "![Reliability](reliability.svg)",
        "",
        "![Log loss by day](log_loss.svg)",
        "",
        "![Strongest features](importance.svg)",
    ]
    return "\n".join(lines) + "\n"


def card(model: HealthModel, days: Days) -> str:
    """Return the model card in Markdown."""
    served = f"{'yes' if model.serves else 'no'}; {model.why}"
    return f"""# Model card: bank health {model.version}

- **What it says**: the share of payouts through a bank that will fail or miss their time in the
  next 15 or 60 minutes, and the probability that this is more than five points above the bank's
  usual share.
- **What it is for**: health predictions and routing proposals. Leaving a bank is decided by the
  filter and the controller's limits, with or without this model.
- **What it is not for**: people, merchants or single payments. It knows of neither.
- **Trained on**: {model.source}, {days.banks} banks; {model.trained_at}; seed {model.seed}.
- **Form**: gradient-boosted trees, read from JSON without the training library; more failures
  never make a bank look better.
- **Features**: {len(model.features)}, digest `{model.features_digest[:16]}`.
- **Served**: {served}.
- **When it stops**: on drift (a feature's spread, its errors, or the filter doing better) the
  filter serves instead, with intervals half as wide again.
- **Limits**: it has seen the outages of its training days only. Of what no bank did then it knows
  no more than the filter.

{chr(10).join(_days(days))}
"""


def _days(days: Days) -> list[str]:
    return [
        "| part | from | to | rows |",
        "|---|---|---|---|",
        *(
            f"| {name} | {begins} | {ends} | {count:,} |"
            for name, (begins, ends, count) in (
                ("training", days.train),
                ("calibration", days.calibration),
                ("held out", days.held_out),
            )
        ),
    ]
