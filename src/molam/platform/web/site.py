"""What the apps may vary about the web tier."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import ASGIApp

from molam.kernel.clock import Clock, SystemClock
from molam.platform.web.problems import Problem


@dataclass(frozen=True, slots=True)
class Site:
    """One app's answers to what its framework cannot know. Everything has a safe default."""

    public_origin: str = ""
    """Scheme and host as browsers see them; https adds HSTS."""
    form_action: tuple[str, ...] = ()
    """Origins besides our own that a form may be redirected to: the issuer's."""
    sign_in_path: str = "/auth/sign-in"
    problem_page: Callable[[Request, Problem], str] | None = None
    """Renders a problem as HTML; None is a plain page."""
    ready: Mapping[str, Callable[[], Awaitable[bool]]] = field(default_factory=dict)
    """What must hold before traffic is welcome, by name."""
    mounts: Mapping[str, ASGIApp] = field(default_factory=dict)
    """Static assets: prefix to app. They are public, so nothing else belongs here."""
    metrics_prefix: str = "molam_merchant_dashboard"
    clock: Clock = field(default_factory=SystemClock)
