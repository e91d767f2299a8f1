"""The development issuer's pages, in French and English."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from molam.simulator.issuer_store import Holder
from molam.simulator.people import DEMO_PASSWORD, Person

_FOLDER = Path(__file__).parent / "templates"

STYLESHEET = (_FOLDER / "identity.css").read_bytes()


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the pages say. A language that lacks a sentence does not load."""

    sign_in: str
    intro: str
    login: str
    password: str
    go_on: str
    wrong: str
    code_title: str
    code_intro: str
    code: str
    confirm: str
    wrong_code: str
    locked: str
    demo_people: str
    demo_note: str
    demo_code: str
    demo_secret: str
    platform: str
    other_language: str
    signed_out: str
    signed_out_intro: str
    refused: str
    refused_intro: str
    someone_else: str
    roles: dict[str, str]


WORDS = msgspec.json.decode((_FOLDER / "identity_words.json").read_bytes(), type=dict[str, Words])

_ENVIRONMENT = Environment(
    loader=PackageLoader("molam.simulator"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def password_page(
    *, locale: str, people: Sequence[Holder], error: str = "", login: str = "", here: str
) -> str:
    return _ENVIRONMENT.get_template("identity_password.html").render(
        words=WORDS[locale],
        locale=locale,
        groups=_groups(people, locale),
        error=error,
        login=login,
        demo_password=DEMO_PASSWORD,
        switch=_switch(here, locale),
    )


def home_page(*, locale: str, people: Sequence[Holder], sign_in_url: str) -> str:
    return _ENVIRONMENT.get_template("identity_home.html").render(
        words=WORDS[locale],
        locale=locale,
        groups=_groups(people, locale),
        demo_password=DEMO_PASSWORD,
        sign_in_url=sign_in_url,
        switch=_switch("", locale),
    )


def code_page(*, locale: str, person_id: str, current: str, error: str = "", here: str) -> str:
    return _ENVIRONMENT.get_template("identity_code.html").render(
        words=WORDS[locale],
        locale=locale,
        person_id=person_id,
        current=current,
        secret=Person(person_id, person_id, locale, ()).totp_secret,
        error=error,
        switch=_switch(here, locale),
    )


def notice_page(*, locale: str, title: str, intro: str) -> str:
    return _ENVIRONMENT.get_template("identity_notice.html").render(
        words=WORDS[locale], locale=locale, title=title, intro=intro, switch=""
    )


def _groups(people: Sequence[Holder], locale: str) -> dict[str, list[Holder]]:
    groups: dict[str, list[Holder]] = {}
    for person in people:
        groups.setdefault(person.merchant_name or WORDS[locale].platform, []).append(person)
    return groups


def _switch(here: str, locale: str) -> str:
    """The same page in the other language: ui_locales is OpenID Connect's own parameter."""
    other = "en" if locale == "fr" else "fr"
    kept = [part for part in here.split("&") if part and not part.startswith("ui_locales=")]
    return "?" + "&".join([*kept, f"ui_locales={other}"])
