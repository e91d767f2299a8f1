"""Alerts in one sentence: of whom, how much, beyond what, since when, in either language."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from measuring import T0, at
from molam.alerts.episodes.sentences import sentence, subject, value
from molam.alerts.rules.model import AlertType

FLOAT: dict[str, Any] = {
    "name": "Kiosque Médina", "value": 500_000, "fire_at": 1_000_000, "unit": "amount",
    "currency": "XOF", "since": T0.isoformat(),
}  # fmt: skip


def said(language: Any, alert_type: str = "float_low", seconds: float = 60, **changed: Any) -> str:
    text = sentence(alert_type, FLOAT | changed, language, now=at(seconds))
    return text.replace("\u00a0", " ").replace("\u202f", " ")


def test_a_float_is_said_with_its_currency_its_level_and_since_when():
    assert said("fr") == (
        "Le float de Kiosque Médina est de 500 000 F CFA, sous 1 000 000 F CFA depuis 12:00 UTC"
    )
    assert said("fr", name="agent-77").startswith("Le float d'agent-77 est de ")
    assert said("en") == (
        "The float of Kiosque Médina is 500,000 F CFA, under 1,000,000 F CFA since 12:00 UTC"
    )
    assert said("en", seconds=86_400).endswith("since 16 Nov 2026, 12:00 UTC")


def test_between_its_levels_a_value_is_said_not_to_have_recovered():
    band = {"value": 1_050_000, "clear_at": 1_100_000, "comparison": "below"}
    rate = {"unit": "share", "value": 0.04, "fire_at": 0.05, "clear_at": 0.03}

    assert said("en", **band) == (
        "The float of Kiosque Médina is 1,050,000 F CFA: it has not recovered,"
        " and ends at 1,100,000 F CFA or more"
    )
    assert "sous" not in said("fr", **band)
    assert said("en", **band | {"value": 999_999}).endswith("under 1,000,000 F CFA since 12:00 UTC")
    assert said("en", **band | {"value": 1_100_000}).endswith("is for less than 1,000,000 F CFA")
    assert "of its sales: it has not recovered, and ends at 3% or less" in said(
        "en", "refund_spike", **rate, comparison="above"
    )


def test_a_score_is_said_in_points():
    assert value(5, {"unit": "score"}, "en") == "5\u00a0points"


def test_shares_are_said_in_percent():
    share = {"unit": "share", "value": 0.125, "fire_at": 0.05}

    assert said("en", "refund_spike", **share).startswith("Kiosque Médina refunds 12.5% of its")
    assert "12,5 %" in said("fr", "refund_spike", **share)


def test_silence_and_what_is_unusual_are_said_as_such():
    assert "plus rien n'est mesuré" in said("fr", cause="silence")
    assert "out of the ordinary" in said("en", "conversion_drop", unit="score", value=7.5)


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("alert_type", get_args(AlertType))
def test_every_type_has_its_sentence(alert_type: str, language: Any):
    assert said(language, alert_type) != f"{alert_type}, Kiosque Médina"
    assert alert_type not in subject(alert_type, FLOAT, language)


def test_names_cannot_turn_the_sentence_around_or_fill_it():
    assert "\u202e" not in said("en", name="Kiosque\u202e{value}")
    assert "{value}" in said("en", name="Kiosque {value}")
    assert len(said("en", name="x" * 5000)) < 300


def test_whatever_is_kept_something_is_said():
    assert value("much", FLOAT, "en") == "\u2013"
    assert value(5, FLOAT | {"currency": "ZZZ"}, "en") == "5"
    assert said("en", since="yesterday").endswith("since \u2013")
    assert "the platform" in said("en", name=None)
