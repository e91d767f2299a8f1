"""A problem as a plain HTML page, for apps that bring no page of their own."""

from __future__ import annotations

from html import escape

from starlette.requests import Request

from molam.platform.web.problems import Problem

_WORDS = {
    "fr": ("Numéro de la demande", "Retour à l'accueil"),
    "en": ("Request number", "Back to the start"),
}


def render(_request: Request, problem: Problem) -> str:
    request_number, back = _WORDS[problem.locale]
    title = escape(problem.message)
    return (
        f'<!doctype html><html lang="{problem.locale}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title></head>'
        f"<body><main><h1>{title}</h1><p>{request_number}: "
        f"<code>{escape(problem.request_id)}</code></p>"
        f'<p><a href="/">{back}</a></p></main></body></html>'
    )
