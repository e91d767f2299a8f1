"""Tells the owner of an attempt what a bank's statement shows of it."""

from __future__ import annotations

from uuid import UUID

from molam.payments.banks import hearing
from molam.payments.banks.hearing import Heard
from molam.payments.banks.model import Outcome, Report
from molam.payments.banks.teller import Teller
from molam.payments.statements.matching import Confirm
from molam.platform.db import Tx


def confirm_with(teller: Teller) -> Confirm:
    """Let a statement count as what it is: the bank's last word on an attempt."""

    async def confirm(tx: Tx, attempt_id: UUID, outcome: Outcome) -> None:
        # Without an amount: the match has compared it, less what the bank may keep.
        report = Report(
            state=outcome.state,
            provider_ref=outcome.provider_ref,
            code=outcome.code,
            reason=outcome.reason,
        )
        await hearing.record(tx, teller, attempt_id, Heard(report, by="statement", at=outcome.at))

    return confirm
