"""Files and answers with exchange rates: what is read exactly, and what is refused."""

from __future__ import annotations

import contextlib
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fx_answers
from molam.ledger import rates_formats as formats
from molam.ledger.rates_model import Quoted, RatesMalformed, RatesRefused

MONDAY = date(2026, 11, 16)


def rate_of(quoted: list[Quoted], quote: str, on: date = MONDAY) -> Decimal:
    (found,) = [each.rate for each in quoted if each.quote == quote and each.as_of == on]
    return found


def test_the_ecbs_day_is_read_digit_for_digit():
    found = formats.read_file(fx_answers.ECB_DAILY)

    assert rate_of(found, "USD") == Decimal("1.1628")
    assert {each.base for each in found} == {"EUR"}
    assert {each.source for each in found} == {"ECB"}


@pytest.mark.parametrize("packed", [True, False])
def test_the_ecbs_history_is_read_and_a_missing_rate_is_none(packed: bool):
    text = fx_answers.ECB_HISTORY
    found = formats.read_file(fx_answers.zipped(text) if packed else text.encode())

    assert rate_of(found, "GBP", date(1999, 1, 4)) == Decimal("0.7111")
    assert {each.quote for each in found if each.as_of == MONDAY} == {"USD", "JPY", "GBP"}


def test_our_own_csv_keeps_who_quotes_in_their_words():
    found = formats.read_file(fx_answers.OURS)

    assert found[0] == Quoted("EUR", "GHS", MONDAY, Decimal("12.75"), "BCEAO, bulletin 46")


def test_fixers_numbers_never_pass_through_a_float():
    found = formats.read_fixer(fx_answers.FIXER_LATEST)

    assert str(rate_of(found, "GHS")) == "12.731472"
    assert rate_of(found, "BTC") == Decimal("0.000011")


def test_fixers_day_of_the_past_is_dated_that_day():
    found = formats.read_fixer(fx_answers.FIXER_DAY)

    assert {each.as_of for each in found} == {date(2026, 11, 13)}


def test_open_exchange_rates_are_dated_by_their_timestamp():
    found = formats.read_openexchangerates(fx_answers.OXR_LATEST)

    assert rate_of(found, "NGN") == Decimal("1440.07")
    assert "USD" not in {each.quote for each in found}


def test_a_provider_that_refuses_says_its_code_and_not_its_sales_talk():
    with pytest.raises(RatesRefused, match="101 invalid_access_key") as fixer:
        formats.read_fixer(fx_answers.FIXER_BAD_KEY)
    with pytest.raises(RatesRefused, match="401 invalid_app_id"):
        formats.read_openexchangerates(fx_answers.OXR_BAD_KEY)

    assert "support@" not in fixer.value.detail


ENTITY = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<x>&b;</x>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x01\x02",
        b"hello",
        b"<html><body>Not found</body></html>",
        b"<gesmes:Envelope>",
        ENTITY,
        fx_answers.ECB_DAILY.replace(b"1.1628", b"-1"),
        fx_answers.ECB_DAILY.replace(b"1.1628", b"1e5"),
        fx_answers.ECB_DAILY.replace(b"1.1628", b"NaN"),
        fx_answers.ECB_DAILY.replace(b"1.1628", b""),
        fx_answers.ECB_DAILY.replace(b"2026-11-16", b"16.11.2026"),
        fx_answers.ECB_DAILY.replace(b"USD", b"usd"),
        fx_answers.ECB_HISTORY.replace("1.1789", "x").encode(),
        b"Date,USD,\n2026-11-16\n",
        b"Date,USD,\n",
        b"PK\x03\x04 no archive at all",
        fx_answers.zipped(fx_answers.ECB_HISTORY, name="rates.txt"),
        fx_answers.zipped("\x00"),
        fx_answers.OURS.replace(b",source", b",origin"),
        fx_answers.OURS.replace(b"1440.5", b"1 440,5"),
        fx_answers.OURS.replace(b"Own bank", b""),
        fx_answers.OURS.replace(b"Own bank", b"x" * 61),
        fx_answers.OURS.replace(b",Own bank", b""),
        fx_answers.OURS.decode().encode("utf-16"),
        b"date,base,quote,rate,source\n",
    ],
)
def test_a_file_with_a_mistake_is_refused_whole(body: bytes):
    with pytest.raises(RatesMalformed):
        formats.read_file(body)


def test_an_archive_that_unpacks_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(formats, "FILE_BYTES_MAX", 10_000)
    bomb = fx_answers.zipped("Date,USD,\n" + "2026-11-16,1.1,\n" * 100_000)

    with pytest.raises(RatesMalformed, match="at most"):
        formats.read_file(bomb)


@pytest.mark.parametrize("read", [formats.read_fixer, formats.read_openexchangerates])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"success": "yes"}',
        b'{"success": true, "base": "EUR", "date": "2026-11-16", "rates": {}}',
        b'{"success": true, "base": "EUR", "date": "2026-11-16", "rates": {"USD": "much"}}',
        b'{"success": true, "base": "EUR", "date": "yesterday", "rates": {"USD": 1.1}}',
        b'{"base": "USD", "timestamp": 99999999999999999, "rates": {"EUR": 0.8}}',
        b'{"base": "dollar", "timestamp": 1794837600, "rates": {"EUR": 0.8}}',
        b"\xff\xfe",
    ],
)
def test_an_answer_of_another_shape_is_refused(read: object, body: bytes):
    assert callable(read)
    with pytest.raises((RatesMalformed, RatesRefused)):
        read(body)


PREFIXES = (b"", b"PK\x03\x04", b"<", b"Date,USD\n", b"date,base,quote,rate,source\n")


@given(st.binary(max_size=400), st.sampled_from(PREFIXES))
def test_whatever_the_bytes_a_file_is_read_or_refused(body: bytes, prefix: bytes):
    found: list[Quoted] | None = None
    with contextlib.suppress(RatesMalformed):
        found = formats.read_file(prefix + body)

    assert found is None or found
