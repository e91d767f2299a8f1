"""``molam serve mesh``."""

from __future__ import annotations

import click
from starlette.types import ASGIApp

from molam.entrypoints.local import MESH_PORT, OPS_PORT, SIRA_PORT, database, read_settings
from molam.entrypoints.serve import Site, serve_reloading, serve_together
from molam.entrypoints.wiring_mesh import mesh_app
from molam.entrypoints.wiring_ops import ops_app
from molam.entrypoints.wiring_sira import sira_app


@click.command("mesh")
@click.option("--reload", is_flag=True, help="Begin again whenever a source file changes.")
@click.option("--with-sira", is_flag=True, help="And SIRA, on port 8000, in the same process.")
@click.option("--with-ops", is_flag=True, help="And the ops console, on port 3136, likewise.")
def command(*, reload: bool, with_sira: bool, with_ops: bool) -> None:
    """Serve the failover mesh's API and the control room on port 3138."""
    if reload and (with_sira or with_ops):
        raise click.UsageError("--reload serves one application")
    with database(read_settings()) as settings:
        if reload:
            serve_reloading(f"{__name__}:from_environment", MESH_PORT, settings)
        else:
            sites = [Site("mesh", MESH_PORT, mesh_app)]
            sites += [Site("sira", SIRA_PORT, sira_app)] * with_sira
            sites += [Site("ops", OPS_PORT, ops_app)] * with_ops
            serve_together(sites, settings)


def from_environment() -> ASGIApp:
    return mesh_app(read_settings())
