"""Everything that sending needs, put together once for each process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from molam.kernel.clock import Clock
from molam.payments.banks import store
from molam.payments.banks.budgets import Restraint
from molam.payments.banks.connectors.interface import Bank, Connector
from molam.payments.banks.model import Owner
from molam.payments.banks.secrets import BankSecrets


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what, in seconds of PostgreSQL's clock."""

    lease_s: float = 60
    """Longer than any request to a bank may take: whoever still sends after it is dead."""
    resend_after_s: float = 60
    """A request that no answer came to may still be on its way for so long."""
    sends_max: int = 3
    probe_s: float = 60
    failures_max: int = 5
    asks_s: tuple[float, ...] = (25, 90, 480, 3000, 18_000)
    """
    Between one inquiry and the next: after the first, at 5 s, one within 2 minutes, 10
    minutes, an hour and 6 hours. A bank that is unwell is not helped by more; once it is
    believed to be well again, it is asked about everything (`inquiries.hasten`).
    """

    watch_every_s: float = 21_600
    """Between inquiries about what has been paid and may still come back."""

    def ask_in_s(self, inquiries: int) -> float:
        return self.asks_s[min(inquiries, len(self.asks_s) - 1)]


@dataclass(frozen=True, slots=True)
class Teller:
    """Whose instructions are sent, through what, and with which secrets."""

    connectors: Mapping[str, Connector]
    owners: Mapping[str, Owner]
    secrets: BankSecrets
    callbacks_url: str
    """Banks call back under it: ``{callbacks_url}/{bank_profile_id}/callbacks``."""
    clock: Clock
    patience: Patience = field(default_factory=Patience)
    restraint: Restraint = field(default_factory=Restraint)

    def bank(self, row: store.BankRow) -> Bank | None:
        """Describe a bank to its connector; None while there are no secrets for it."""
        secret = self.secrets.of(row.id)
        if secret is None:
            return None
        url = f"{self.callbacks_url}/{row.id}/callbacks"
        return Bank(row.id, row.endpoint_url.rstrip("/"), secret, url)
