"""Who in finance operations is told that an account does not add up, and in what words."""

from __future__ import annotations

from datetime import date

from molam.kernel.currency import currency
from molam.kernel.money import Money
from molam.notices.model import Kind, Notice
from molam.payments.statements.auditing import Finding
from molam.platform.db import Tx
from molam.tenancy import queries as tenancy

ROLES = ("finance_ops",)


async def finance_people(tx: Tx) -> list[str]:
    """List who holds the role that answers for the books."""
    return sorted({each.person_id for each in await tenancy.electors_of(tx, ROLES)})


def differs(finding: Finding, people: list[str], on: date) -> Notice:
    """Put a finding into a notice, of which there is one an account and day."""
    account = f"{finding.bank_profile_id}/{finding.currency}"
    gap = Money(abs(finding.difference or finding.missing), currency(finding.currency))
    return Notice(
        kind=Kind.BOOKS_DIFFER,
        key=f"books/{account}/{on.isoformat()}",
        people=people,
        subject=f"books/{account}",
        link="/ops/books",
        facts={
            "title": {
                "fr": f"{finding.bank_name}, {finding.day:%d/%m/%Y}, {gap}",
                "en": f"{finding.bank_name}, {finding.day.isoformat()}, {gap}",
            },
            "target": finding.bank_name,
        },
        urgent=bool(finding.drifted),
    )
