"""``molam token``."""

from __future__ import annotations

import asyncio

import click

from molam.entrypoints.local import read_settings, running
from molam.simulator.issuer import mint_development_token


@click.command("token")
@click.option("--role", "roles", multiple=True, help="May be given several times.")
@click.option("--merchant", "merchant_id", help="The merchant the roles are held at.")
@click.option("--subject", help="The person; default: a demo person who has the roles.")
@click.option("--aal2", is_flag=True, help="As if a one-time code had just been entered.")
def command(
    *, roles: tuple[str, ...], merchant_id: str | None, subject: str | None, aal2: bool
) -> None:
    """
    Print an access token of the development issuer, for curl.

    curl -H "Authorization: Bearer $(molam token --role merchant_admin
    --merchant merchant-123)" localhost:3001/api/merchant/summary
    """
    settings = running(read_settings())
    token = mint_development_token(
        settings, roles=roles, merchant_id=merchant_id, subject=subject, aal2=aal2
    )
    click.echo(asyncio.run(token))
