"""Everything the mesh app answers to."""

from __future__ import annotations

from molam.mesh.control import endpoints as control
from molam.mesh.control import recall_endpoints
from molam.mesh.federation import corridor_endpoints
from molam.mesh.federation import endpoints as federation
from molam.mesh.liquidity import endpoints as liquidity
from molam.mesh.liquidity import pool_endpoints
from molam.mesh.members import endpoints as members
from molam.mesh.members import policy_endpoints, switch_endpoints
from molam.mesh.room import routes as room
from molam.mesh.routing import endpoints as routing
from molam.mesh.signals import endpoints as signals
from molam.platform.web import Routes

API: tuple[Routes, ...] = (
    members.routes,
    policy_endpoints.routes,
    switch_endpoints.routes,
    pool_endpoints.routes,
    liquidity.routes,
    federation.routes,
    corridor_endpoints.routes,
    routing.routes,
    control.routes,
    recall_endpoints.routes,
    signals.routes,
)
PAGES: tuple[Routes, ...] = room.PAGES
