"""How amounts, numbers and times read in French and in English."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.kernel.currency import CURRENCIES, currency
from molam.kernel.money import MINOR_MAX, AmountMalformed
from molam.platform.web.l10n import LANGUAGES, Formats, Language, of_name, parse_amount

FR, EN = Formats("fr"), Formats("en")


def plain(text: str) -> str:
    """With ordinary spaces: CLDR's narrow ones come and go between its releases."""
    return unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize(
    ("formats", "minor", "code", "expected"),
    [
        (FR, 12_500, "XOF", "12 500 F CFA"),
        (EN, 12_500, "XOF", "12,500 F CFA"),
        (FR, 1_250_050, "GHS", "12 500,50 GH₵"),
        (EN, 1_250_050, "GHS", "GH₵12,500.50"),
        (FR, 1_250_050, "NGN", "12 500,50 ₦"),
        (EN, 1_250_050, "NGN", "₦12,500.50"),
        (FR, 1_250_050, "EUR", "12 500,50 €"),
        (EN, 1_250_050, "USD", "US$12,500.50"),
        (EN, 1_250_050, "KES", "12,500.50 KES"),
        (FR, -500, "XOF", "\u2212500 F CFA"),
        (EN, -50, "NGN", "\u2212₦0.50"),
        (FR, 0, "XOF", "0 F CFA"),
    ],
)
def test_money_reads_as_people_write_it(
    formats: Formats, minor: int, code: str, expected: str
) -> None:
    assert plain(formats.money(minor, code)) == expected


@pytest.mark.parametrize("formats", [FR, EN], ids=LANGUAGES)
@given(minor=st.integers(-MINOR_MAX, MINOR_MAX), code=st.sampled_from(sorted(CURRENCIES)))
def test_money_never_breaks_over_lines_and_loses_no_digit(
    formats: Formats, minor: int, code: str
) -> None:
    text = formats.money(minor, code)
    markup = formats.money_markup(minor, code)

    assert " " not in text
    assert "".join(filter(str.isdigit, text)).lstrip("0") == str(abs(minor)).lstrip("0")
    assert re.sub("<[^>]*>", "", markup) == text


def test_short_money_keeps_three_figures() -> None:
    assert plain(FR.money_short(12_458_300, "XOF")) == "12,5 M F CFA"
    assert plain(EN.money_short(12_458_300, "XOF")) == "12.5M F CFA"
    assert plain(EN.money_short(95_00, "GHS")) == "GH₵95"


def test_the_first_of_a_month_is_written_as_each_language_does() -> None:
    first, eleventh = date(2026, 2, 1), date(2026, 2, 11)

    assert plain(FR.day(first, "long")) == "1er février 2026"
    assert plain(FR.day_month(first)) == "1er févr."
    assert plain(FR.day(first, "full")) == "dimanche 1er février 2026"
    assert plain(FR.day(eleventh, "long")) == "11 février 2026"
    assert plain(FR.day(first, "short")) == "01/02/2026"
    assert "1er" not in EN.day(first, "long")


def test_percentages_and_changes() -> None:
    assert plain(FR.percent(Decimal("96.43"))) == "96,4 %"
    assert EN.percent(Decimal("96.43")) == "96.4%"
    assert plain(FR.change(Decimal("0.082"))) == "+8,2 %"
    assert EN.change(Decimal("-0.0141")) == "\u22121.4%"
    assert EN.change(Decimal("0.00001")) == "0.0%"


def test_instants_are_local_with_utc_on_hover() -> None:
    instant = datetime(2026, 11, 21, 23, 30, 5, tzinfo=UTC)

    shown = FR.instant(instant, "Africa/Lagos")

    assert 'datetime="2026-11-21T23:30:05Z"' in shown
    assert 'title="2026-11-21 23:30:05 UTC"' in shown
    assert plain(shown.striptags()) == "22 nov. 2026, 00:30"


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (date(2026, 11, 1), date(2026, 11, 21), "1\u201321 nov."),
        (date(2026, 10, 28), date(2026, 11, 3), "28 oct. \u2013 3 nov."),
        (date(2025, 12, 31), date(2026, 1, 2), "31 déc. 2025 \u2013 2 janv. 2026"),
    ],
)
def test_spans_of_days_are_brief(first: date, last: date, expected: str) -> None:
    assert plain(FR.day_range(first, last)) == expected


def test_a_span_of_another_year_names_it() -> None:
    span = date(2025, 2, 9), date(2025, 12, 31)

    assert plain(FR.day_range(*span, 2026)) == "9 févr. \u2013 31 déc. 2025"
    assert plain(FR.day_range(*span, 2025)) == "9 févr. \u2013 31 déc."


@pytest.mark.parametrize(
    ("typed", "code", "minor"),
    [
        ("12 500", "XOF", 12_500),
        ("12\u202f500", "XOF", 12_500),
        ("12.500", "XOF", 12_500),
        ("1,234,567", "XOF", 1_234_567),
        ("1 234,5", "GHS", 123_450),
        ("1,234.50", "GHS", 123_450),
        ("12.50", "GHS", 1_250),
        ("7", "GHS", 700),
    ],
)
def test_amounts_are_read_as_typed_in_either_language(typed: str, code: str, minor: int) -> None:
    assert parse_amount(typed, currency(code)).minor == minor


@pytest.mark.parametrize(
    "typed", ["", "abc", "-5", "1e3", "1,2,3", "1.234,567", "12.5", "٣", "9" * 17, "5 F"]
)
def test_what_is_no_amount_of_francs_is_refused(typed: str) -> None:
    with pytest.raises(AmountMalformed):
        parse_amount(typed, currency("XOF"))


@pytest.mark.parametrize("language", LANGUAGES)
@given(minor=st.integers(0, MINOR_MAX), code=st.sampled_from(sorted(CURRENCIES)))
def test_an_amount_as_shown_is_read_back(language: Language, minor: int, code: str) -> None:
    shown = Formats(language).money(minor, code).strip(f"{Formats(language).symbol(code)}\u00a0")

    assert parse_amount(shown, currency(code)).minor == minor


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Moussa Ndiaye", "de Moussa Ndiaye"),
        ("agent-77", "d'agent-77"),
        ("Élie", "d'Élie"),
        ("Œuvres", "d'Œuvres"),
        ("7 Étoiles", "de 7 Étoiles"),
        ("", "de "),
    ],
)
def test_of_is_elided_before_a_name_that_begins_with_a_vowel(name: str, written: str):
    assert of_name(name) == written


def test_what_rounds_to_nothing_has_no_sign():
    assert FR.number(Decimal("-0.04"), 1) == "0,0"
    assert EN.number(-0.4) == "0"
    assert EN.number(Decimal("-0.051"), 1) == "\u22120.1"
