"""What every part of alerting is given: its approvals, its clock, and where SIRA is."""

from __future__ import annotations

from dataclasses import dataclass, field

from molam.alerts.rules.book import RuleBook
from molam.approvals.runtime import Runtime
from molam.kernel.clock import Clock
from molam.platform.settings import Secret


@dataclass(frozen=True, slots=True)
class Watch:
    """
    One process's view of alerting.

    *sira_url* empty: SIRA recommends in this process. *signing_key* signs and verifies what
    it recommends.
    """

    approvals: Runtime
    clock: Clock
    signing_key: Secret
    sira_url: str = ""
    sira_api_key: Secret = field(default_factory=lambda: Secret(""))
    sira_timeout_s: float = 5.0
    fallback_enabled: bool = True
    rules: RuleBook = field(default_factory=RuleBook)
    """The rules as this process last read them."""
