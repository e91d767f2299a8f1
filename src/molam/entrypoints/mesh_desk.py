"""What the mesh works with, put together for the app and for workers alike."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.entrypoints.desk import worker_name
from molam.entrypoints.keys import sira_api_key, sira_signing_key
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.mesh.federation.peers import read_peers
from molam.mesh.runtime import Mesh, PolicyMode
from molam.platform.db import Database
from molam.platform.settings import Settings, SettingsRefused
from molam.sira import signing
from molam.sira.registry import Shelf


def mesh_of(settings: Settings, db: Database, *, worker: str) -> Mesh:
    """
    Put together what the mesh works with, on *db* for its approvals.

    Raises:
        SettingsRefused: the key verifies only, and predictions could not be signed.
    """
    known = registry()
    key = sira_signing_key(settings)
    if not signing.can_sign(key):
        raise SettingsRefused("SIRA_SIGNING_KEY is a public key; the mesh signs as well")
    return Mesh(
        signing_key=key,
        clock=SystemClock(),
        approvals=Runtime(db, known, PolicyBook(known), worker_name(worker)),
        region=settings.mesh_region,
        is_controller=settings.enable_controller,
        default_mode=cast("PolicyMode", settings.default_policy_mode),
        default_auto_threshold=Decimal(settings.default_auto_confidence_threshold),
        fallback_enabled=settings.sira_fallback_enabled,
        sira_url=settings.sira_api_url.rstrip("/"),
        sira_api_key=sira_api_key(settings),
        serving=Shelf(settings.molam_home).serving,
        peers=read_peers(settings.mesh_peers, allow_private=not settings.is_production),
    )
