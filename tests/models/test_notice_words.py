"""What a notice says: in both languages, with nothing secret and nothing that deceives."""

from __future__ import annotations

import pytest

from molam.kernel.digests import check_words
from molam.kernel.shown import masked_facts, plain
from molam.notices.messages import ADVICE, HEADLINES, label, lines, named, say
from molam.notices.model import Kind, Notice
from molam.platform.web.l10n import LANGUAGES, Language

HASH = "c568e95da74bd73a5ca586b63034e9ea956b7a1ab9d2b0de3661561e17a93d14"

FACTS = {
    "title": {"fr": "Porter le flottant de 1 à 2", "en": "Raise the float from 1 to 2"},
    "action_type": "ADJUST_FLOAT",
    "target": "Kiosque Médina",
    "amount": {"currency": "XOF", "minor": 1_000_000},
    "by": "Awa Diop",
    "deadline": "2026-11-16T14:30:00Z",
    "intent_hash": HASH,
    "reason": "vite",
    "policy": "Flottants",
    "change": "loosened",
    "missing": {"fr": "1 vote de finance_ops", "en": "1 vote of finance_ops"},
    "error": "bank-closed",
}


def written(kind: Kind, language: Language, facts: dict = FACTS) -> str:
    message = say(kind, facts, language)
    return "\n".join([message.headline, message.advice, *lines(message, language), message.quote])


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_said_in_both_languages_and_differently(kind: Kind):
    french, english = (say(kind, FACTS, language) for language in LANGUAGES)

    assert french.headline != english.headline
    assert "{" not in french.headline + english.headline
    assert ((kind, "fr") in ADVICE) == ((kind, "en") in ADVICE)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notice_without_facts_can_still_be_said(kind: Kind, language: Language):
    assert say(kind, {}, language).headline


@pytest.mark.parametrize(
    "facts",
    [
        {"amount": 5, "deadline": "soon", "intent_hash": "zz", "title": 7, "by": None},
        {"amount": {"minor": "5"}, "deadline": "2026-11-16T14:30:00", "title": {"de": "x"}},
        {"amount": {"minor": 5, "currency": "ZZZ"}},
        {"amount": None, "deadline": 3, "intent_hash": 3, "missing": [], "reason": {}},
    ],
)
def test_facts_of_another_shape_are_left_out(facts: dict):
    message = say(Kind.ACTION_WAITING, facts, "en")

    assert message.details == ()
    assert message.quote == ""


def test_the_request_for_a_vote_names_what_how_much_until_when_and_who_asks():
    french = written(Kind.ACTION_WAITING, "fr")
    english = written(Kind.ACTION_WAITING, "en")

    assert "Votre vote est demandé\u00a0: Porter le flottant de 1 à 2" in french
    assert "Montant\u00a0: 1\u202f000\u202f000\u00a0F\u202fCFA" in french
    assert "16 nov. 2026, 14:30\u00a0UTC" in french
    assert "Your vote is asked for: Raise the float from 1 to 2" in english
    assert "Awa Diop" in english


def test_french_signs_stay_with_their_word():
    texts = [text for (_, language), text in HEADLINES.items() if language == "fr"]

    said = [say(kind, FACTS, "fr").headline for kind in Kind]

    assert any(" :" in text for text in texts)
    assert [each for each in said if " :" in each] == []


def test_check_groups_are_the_first_and_last_four_and_the_same_everywhere():
    words = check_words(bytes.fromhex(HASH))

    assert words == "YVUO SXNH JPLT UXFF … BXRW MFLB 4F5J HUKA"
    assert words in written(Kind.ACTION_WAITING, "fr")
    assert words in written(Kind.ACTION_WAITING, "en")


def test_check_groups_change_with_any_bit_at_either_end():
    digest = bytes.fromhex(HASH)
    flipped = [
        bytes([*digest[:at], digest[at] ^ 1, *digest[at + 1 :]]) for at in (0, 5, 9, 23, 28, 31)
    ]

    assert len({check_words(each) for each in [digest, *flipped]}) == 7


def test_what_a_person_typed_is_never_in_the_headline():
    facts = {**FACTS, "reason": "CANARY", "by": "CANARY", "target": "CANARY"}

    assert [kind for kind in Kind if "CANARY" in say(kind, facts, "en").headline] == []


def test_typed_text_loses_line_breaks_and_marks_that_turn_its_direction():
    message = say(Kind.ACTION_REJECTED, {"reason": "a\r\nBcc: x\u202eb\u2066c\x00d"}, "en")

    assert message.quote == "a  Bcc: xbc d"
    assert plain("e\u0301té \u200dx") == "e\u0301té \u200dx"


def test_long_text_is_cut_with_a_mark():
    assert plain("a" * 600) == "a" * 499 + "…"


@pytest.mark.parametrize(
    "key",
    ["iban", "IBAN", "beneficiary_iban", "accountNumber", "account_number", "account-no", "token",
     "access_token", "clientSecret", "password", "api_key", "apiKey", "card number", "pin", "otp"],
)  # fmt: skip
def test_a_secret_keeps_its_last_four(key: str):
    masked = masked_facts({"deep": [{key: "SN08CANARY001234"}], key: "SN08CANARY001234"})

    assert masked == {"deep": [{key: "••••1234"}], key: "••••1234"}


@pytest.mark.parametrize("key", ["amount", "title", "spinner", "account", "shipping", "company"])
def test_what_is_no_secret_is_left_alone(key: str):
    assert masked_facts({key: "SN08OPEN1234"}) == {key: "SN08OPEN1234"}


def test_a_schema_adds_secrets_of_its_own():
    facts = {"passport": "CANARY123456", "other": 1}

    assert masked_facts(facts, frozenset({"passport"})) == {"passport": "••••3456", "other": 1}


@pytest.mark.parametrize(
    ("value", "shown"),
    [("12345678", "••••"), (12345678901, "••••8901"), (["a"], "••••"), ({"a": 1}, "••••"),
     (None, None), (True, True), ("", "••••")],
)  # fmt: skip
def test_short_and_structured_secrets_show_nothing(value: object, shown: object):
    assert masked_facts({"token": value}) == {"token": shown}


def test_nesting_without_end_is_cut_off():
    deep: dict[str, object] = {}
    for _ in range(500):
        deep = {"a": deep, "token": "CANARY123456"}

    assert "CANARY" not in str(masked_facts(deep))


@pytest.mark.parametrize(
    "link", ["https://evil.example", "//evil.example", "/\\evil", "actions", ""]
)
def test_a_notice_links_to_a_page_of_ours(link: str):
    with pytest.raises(AssertionError, match="page of ours"):
        Notice(kind=Kind.ACTION_WAITING, key="k", people=[], subject="s", link=link)


def test_every_label_exists_in_both_languages():
    names = ("amount", "target", "by", "missing", "deadline", "preferences", "check", "open", "why")

    assert [name for name in names if label(name, "fr") == label(name, "en")] == []


@pytest.mark.parametrize(
    ("zone", "hour"),
    [("UTC", "14:30\u00a0UTC"), ("Africa/Dakar", "14:30\u00a0GMT"), ("Asia/Dubai", "18:30\u00a0UTC+04")],
)  # fmt: skip
def test_a_deadline_names_the_zone_of_its_hour(zone: str, hour: str):
    [deadline] = say(
        Kind.ACTION_WAITING, {"deadline": "2026-11-16T14:30:00Z"}, "fr", zone=zone
    ).details

    assert deadline.value == f"16 nov. 2026, {hour}"


def test_french_puts_a_space_before_its_colon():
    assert named("Ouvrir la page", "/ops", "fr") == "Ouvrir la page\u00a0: /ops"
    assert named("Open the page", "/ops", "en") == "Open the page: /ops"
