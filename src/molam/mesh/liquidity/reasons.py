"""Why a plan moves money, in one sentence, from codes and amounts alone."""

from __future__ import annotations

from datetime import date

from molam.mesh.liquidity.plan_store import StepRow
from molam.platform.web.l10n import Formats, Language


def why(row: StepRow, language: Language) -> str:
    """Say for which day the money is needed, or that it only passes through."""
    said = row.why
    is_french = language == "fr"
    if said.get("code") != "below_floor":
        if is_french:
            return f"{row.to_bank} ne fait que le transmettre, là où il manque."
        return f"{row.to_bank} only passes it on to where it is missing."
    formats = Formats(language)
    day = formats.day(date.fromisoformat(str(said["day"])))
    holds = formats.money(_amount(said["would_hold"]), row.to_currency)
    needs = formats.money(_amount(said["needs"]), row.to_currency)
    if is_french:
        return f"Sans lui, {row.to_bank} finirait le {day} avec {holds}, et il en faut {needs}."
    return f"Without it {row.to_bank} would end {day} with {holds}, and needs {needs}."


def _amount(value: object) -> int:
    assert isinstance(value, int)
    return value
