"""What every part of the mesh is given: its region, its key, its clock and its approvals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from molam.approvals.runtime import Runtime
from molam.kernel.clock import Clock
from molam.mesh.federation.peers import Peers
from molam.platform.settings import Secret
from molam.sira.registry import Serving

PolicyMode = Literal["auto", "approval_required"]


def _no_model() -> Serving:
    return Serving(None, "no model is looked for here")


@dataclass(frozen=True, slots=True)
class Mesh:
    """
    One process's view of the mesh.

    *region* is the name or id of the region whose controller this is. *sira_url* empty: SIRA
    predicts in this process, in the caller's transaction.
    """

    signing_key: Secret
    clock: Clock
    approvals: Runtime
    region: str
    is_controller: bool = True
    default_mode: PolicyMode = "approval_required"
    default_auto_threshold: Decimal = Decimal("0.85")
    fallback_enabled: bool = True
    sira_url: str = ""
    sira_api_key: Secret = field(default_factory=lambda: Secret(""))
    sira_timeout_s: float = 10.0
    serving: Callable[[], Serving] = _no_model
    """The learned health model in use, if there is one."""
    peers: Peers = field(default_factory=Peers)
    """The other regions that we speak with."""
