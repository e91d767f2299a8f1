"""The operations' home about one country: all of it, and nothing of another."""

from __future__ import annotations

import re

import pytest
from ops_console import Console

from alerting import a_transition, happen
from home_page import furnish
from molam.ops.dashboard import pages
from molam.platform.db import Database

GHANA = "/?tenant_type=country&tenant_id=GH"


async def test_the_home_can_be_about_one_country(console: Console, db: Database) -> None:
    await furnish(db)
    await happen(db, a_transition())

    choice = await console.page("/dashboard/scope?tenant_type=country&search=Sénég", lang="fr")
    address = re.findall(r'href="(/\?tenant_type=country&tenant_id=SN[^"]*)"', choice)[0]
    page = await console.page(address, lang="fr")
    behind = re.findall(r'<a href="(/dashboard/rows\?[^"]*metric=gmv[^"]+)"', page)
    low = await console.get(
        "/dashboard/rows?tenant_type=country&tenant_id=SN&metric=float_available"
    )
    ghana = await console.page(GHANA)

    assert "<span>Sénégal</span>" in page
    assert "/ops/agents/agent-123" in page
    assert "au float de Kiosque Médina" in page
    assert "Le float de" in page
    assert "tx_home_2<" in await console.page(behind[0])
    assert low.headers["location"] == "/agents?country=SN"
    assert "/ops/agents/agent-123" in await console.page("/agents?region=WAEMU")
    for not_theirs in ("agent-123", "Kiosque", "Boutique", "The float of", "Senegal"):
        assert not_theirs not in ghana
    assert "agent-123" not in await console.page("/agents?country=GH")


async def test_without_a_scope_a_country_shows_everybodys(
    console: Console, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test above: without the safety it fails."""
    whole = pages.Scope(pages.Tenant("platform"), None, None)
    monkeypatch.setattr(pages, "scope_of", lambda _: whole)
    await furnish(db)

    assert "Kiosque" in await console.page(GHANA)
