"""Delegating a role for a while."""

from __future__ import annotations

from molam.platform.web import Routes

routes = Routes()
