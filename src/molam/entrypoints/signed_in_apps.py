"""What every app that people sign in to is put together with."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
from fastapi import FastAPI

from molam.entrypoints.local import migrations_folder
from molam.kernel.clock import SystemClock
from molam.platform.auth.assembly import Auth, assemble
from molam.platform.auth.sign_in import RelyingParty
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.platform.web import Site, health
from molam.platform.web.sse import Hub
from molam.platform.web.templating import problem_page
from molam.tenancy import queries as tenancy


def callers_of(
    settings: Settings,
    party: RelyingParty,
    client: httpx2.AsyncClient,
    *,
    app: Callable[[], FastAPI],
) -> Auth:
    """Know callers by token or session, with the roles that the directory grants now."""

    async def roles_of(subject: str, merchant_id: str | None) -> frozenset[str] | None:
        db: Database = app().state.db
        return await tenancy.roles_of(db, subject, merchant_id)

    return assemble(settings, party=party, client=client, directory=roles_of, clock=SystemClock())


def site_of(
    settings: Settings,
    auth: Auth,
    party: RelyingParty,
    *,
    metrics_prefix: str,
    app: Callable[[], FastAPI],
) -> Site:
    """Describe a site that is ready once its database answers and is migrated."""
    return Site(
        public_origin=party.public_url,
        form_action=(auth.issuer_origin,),
        sign_in_path="/sign-in",
        problem_page=problem_page,
        metrics_prefix=metrics_prefix,
        ready={
            "database": health.database_answers(lambda: app().state.db),
            "migrations": health.migrations_applied(settings.database_dsn, migrations_folder()),
        },
    )


def hear_directory(auth: Auth, hub: Hub) -> tuple[Callable[[str], None], Callable[[], None]]:
    """Return what to do when a grant changed, and when messages may have been lost."""

    def changed(_person: str) -> None:
        auth.directory.forget()
        hub.recheck()

    def doubt_everything() -> None:
        auth.directory.forget()
        hub.tell_all()

    return changed, doubt_everything
