"""Pages from templates, each in one of the product's languages."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from urllib.parse import quote, urlsplit

from babel.support import Translations
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse

from molam.platform.web import assets, catalogue, languages
from molam.platform.web.caller import Caller
from molam.platform.web.l10n import Formats, Language
from molam.platform.web.preferences import Theme, chosen_language, chosen_theme, local_path
from molam.platform.web.problems import Problem

LOCALE = Path(__file__).parents[2] / "locale"

_NOT_SLUG = re.compile(r"[^a-z0-9-]")
_HERE = "molam.platform.web"


class Templates:
    """
    The templates of some packages, over the shared ones of this package.

    One environment per language holds the catalogue and the filters, so that
    choosing the language is choosing the environment, once for each request.
    """

    def __init__(
        self, *packages: str, filters: Mapping[str, Callable[..., object]] | None = None
    ) -> None:
        self._packages = packages
        self._filters = dict(filters or {})
        self._environments: dict[Language, Environment] = {}

    def render(self, language: Language, name: str, /, **context: object) -> str:
        """Render the template *name*, without anything that belongs to a request."""
        if language not in self._environments:
            environment = _environment(self._packages, language)
            environment.filters.update(self._filters)
            self._environments[language] = environment
        return self._environments[language].get_template(name).render(context)

    def page(
        self,
        request: HTTPConnection,
        caller: Caller | None,
        name: str,
        **context: object,
    ) -> HTMLResponse:
        """Render the template *name* as the answer to *request*."""
        language = language_of(request, caller)
        theme: Theme = chosen_theme(request)
        body = self.render(
            language,
            name,
            theme=theme,
            here=_shown_at(request),
            person=caller,
            **context,
        )
        headers = {"Content-Language": language, "Vary": "Cookie, Accept-Language"}
        return HTMLResponse(body, headers=headers)


def language_of(request: HTTPConnection, caller: Caller | None) -> Language:
    """Choose the language: picked on a page, else the person's, else the browser's."""
    picked = chosen_language(request)
    if picked is not None:
        return picked
    if caller is not None and not caller.is_anonymous:
        return _language(languages.known(caller.locale))
    return _language(languages.preferred(request.headers))


def problem_page(request: Request, problem: Problem) -> str:
    """Show a problem to a person, in the language and theme picked in this browser."""
    language = chosen_language(request) or _language(problem.locale)
    return _PROBLEMS.render(
        language,
        "problem.html",
        message=catalogue.sentence(problem.code, fallback=problem.title, locale=language),
        theme=chosen_theme(request),
        here=_shown_at(request),
        person=None,
        problem=problem,
    )


def _shown_at(request: HTTPConnection) -> str:
    """Return the address of the page; of one that answers a form, that of the form's page."""
    path = request.scope["path"]
    if request.scope.get("method", "GET") in {"GET", "HEAD"}:
        return local_path(path, request.url.query)
    form = urlsplit(request.headers.get("referer", ""))
    # A form that was refused and sent again stands at an address that only takes forms.
    return "/" if form.path == path else local_path(form.path, form.query)


def dom_id(id_: str) -> str:
    """Name an element after an id from outside, which may hold anything."""
    return f"x{hashlib.blake2s(id_.encode(), digest_size=6).hexdigest()}"


def slug(text: str) -> str:
    """Keep of *text* what may stand in a class name."""
    return _NOT_SLUG.sub("-", text.lower())[:40]


def initials(name: str) -> str:
    """Return up to two letters that stand for a person: ``AD`` for Awa Diop."""
    words = [word for word in name.split() if word[0].isalnum()]
    picked = words if len(words) < 2 else [words[0], words[-1]]  # noqa: PLR2004
    return "".join(word[0] for word in picked).upper() or "?"


def _language(tag: str) -> Language:
    return "en" if tag == "en" else "fr"


def _environment(packages: tuple[str, ...], language: Language) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, _HERE)]),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    translations = Translations.load(LOCALE, [language])
    environment.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]
    formats = Formats(language)
    environment.filters.update(
        number=formats.number,
        rate=formats.rate,
        money=formats.money,
        money_markup=formats.money_markup,
        money_short=formats.money_short,
        symbol=formats.symbol,
        percent=formats.percent,
        change=formats.change,
        day=formats.day,
        day_month=formats.day_month,
        hour=formats.hour,
        instant=formats.instant,
        day_range=formats.day_range,
        month=formats.month,
        path_part=functools.partial(quote, safe=""),
        dom_id=dom_id,
        iso_day=date.fromisoformat,
        slug=slug,
        initials=initials,
    )
    environment.globals.update(
        icon=assets.icon, asset=assets.url, language=language, formats=formats
    )
    return environment


_PROBLEMS = Templates()
