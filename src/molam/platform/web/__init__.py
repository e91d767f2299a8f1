"""The web tier: routes that name their permission, and one edge around all of them."""

from molam.platform.web.app import build_app
from molam.platform.web.caller import (
    PUBLIC,
    SIGNED_IN,
    Caller,
    Forbidden,
    MerchantContextRequired,
    Permission,
    Unauthenticated,
)
from molam.platform.web.cursors import CursorRefused, Cursors
from molam.platform.web.problems import Problem, RouteAbsent
from molam.platform.web.routes import Authenticator, Operation, Routes
from molam.platform.web.site import Site

__all__ = [
    "PUBLIC",
    "SIGNED_IN",
    "Authenticator",
    "Caller",
    "CursorRefused",
    "Cursors",
    "Forbidden",
    "MerchantContextRequired",
    "Operation",
    "Permission",
    "Problem",
    "RouteAbsent",
    "Routes",
    "Site",
    "Unauthenticated",
    "build_app",
]
