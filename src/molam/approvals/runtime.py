"""What every part of the engine works with."""

from __future__ import annotations

from dataclasses import dataclass

from molam.approvals.policy.book import PolicyBook
from molam.platform.actions import Registry
from molam.platform.db import Database


@dataclass(frozen=True, slots=True)
class Runtime:
    """A database, the action types, the policies, and the name leases are held under."""

    db: Database
    registry: Registry
    book: PolicyBook
    worker: str
