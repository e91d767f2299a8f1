"""What tests of refunds begin with: a merchant with money, and what people do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from builders import a_merchant, a_person
from facts import succeeded, take_in
from molam.approvals.model import Auth, VoteRequest, VoteWord
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.entrypoints.registry import registry
from molam.payments.banks.model import Outcome, OutcomeState
from molam.payments.refunds import approval, asking, commands
from molam.payments.refunds.asking import Asked, Asker, Desk, NewRefund
from molam.payments.refunds.moves import By
from molam.payments.refunds.owner import Refunds
from molam.payments.refunds.store import RefundRow
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database

MERCHANT = "merchant-123"
AWA = By("awa.diop", "Awa Diop", ip="192.0.2.7", user_agent="tests")
MOUSSA = By("moussa.ndiaye", "Moussa Ndiaye", ip="192.0.2.8", user_agent="tests")
THRESHOLDS = {"XOF": 100_000, "EUR": 15_244}
REGISTRY = registry()


async def a_shop(
    db: Database,
    *,
    config: Mapping[str, object] | None = None,
    admins: int = 2,
    balance: int = 500_000,
) -> None:
    """A merchant with *admins* administrators, and money of an older sale."""
    await a_merchant(db, config=config)
    await a_person(db)
    await a_way_to_wave(db)
    if admins > 1:
        await a_person(db, id_=MOUSSA.id, name=MOUSSA.name)
    if balance:
        await a_sale(db, "tx_older", balance)


async def a_way_to_wave(db: Database) -> None:
    """A bank that carries francs to Wave, as the route in force says."""
    async with db.transaction("tests.a_way_to_wave") as tx:
        await tx.connection.execute(
            "insert into payments.bank_profiles (id, name, country, currency_codes, rails,"
            " provider_type, compliance_level, status, enabled, connector)"
            " values ('wave_sn', 'Wave', 'SN', '{XOF}', '{wallet:wave}', 'wallet', 'verified',"
            " 'active', true, 'wave')"
        )
        await tx.connection.execute(
            "insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)"
            " values ('XOF', 'wallet:wave', '{wave_sn}', 'tests')"
        )


async def a_sale(db: Database, id_: str = "tx_123", amount: int = 75_000, **data: Any) -> str:
    """A payment that succeeded through Wave an hour ago, with its money in the ledger."""
    told = {
        "amount": amount,
        "occurred_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "channel": "wallet",
        "provider": "wave",
        "customer": {"name": "Aminata Diallo", "phone": "+221770000123"},
        **data,
    }
    await take_in(db, [succeeded(id_, **told)])
    return id_


@dataclass
class Till:
    """Asks for refunds of one merchant as its people do."""

    db: Database
    thresholds: Mapping[str, int] = field(default_factory=lambda: THRESHOLDS)
    merchant: str = MERCHANT
    is_remote: bool = False

    @property
    def runtime(self) -> Runtime:
        return Runtime(self.db, REGISTRY, PolicyBook(REGISTRY), "tests")

    async def ask(
        self, amount: int, *, by: By = AWA, proved: bool = True, **wish: Any
    ) -> RefundRow:
        return (await self.asked(amount, by=by, proved=proved, **wish)).refund

    async def asked(self, amount: int, *, by: By = AWA, proved: bool = True, **wish: Any) -> Asked:
        now = datetime.now(UTC)
        wanted = {
            "merchant_id": self.merchant,
            "transaction_id": "tx_123",
            "currency": "XOF",
            "reason": "duplicate_charge",
            **wish,
        }
        auth = Auth(AAL2 if proved else "urn:molam:aal1", now)
        asker = Asker(by, frozenset({"merchant_admin"}), auth)
        desk = Desk(self.runtime, self.thresholds, self.is_remote)
        async with self.db.transaction("tests.ask", merchant_id=self.merchant) as tx:
            return await asking.ask(tx, desk, NewRefund(amount=amount, **wanted), asker, now=now)

    async def vote(
        self, refund_id: str, by: By, *, vote: VoteWord = "approve", proved: bool = True
    ) -> RefundRow:
        """Decide about a refund, and let what follows happen."""
        auth = Auth(AAL2 if proved else "urn:molam:aal1", datetime.now(UTC))
        actor = approval.actor_of(by, roles=frozenset({"merchant_admin"}), auth=auth)
        request = VoteRequest(
            vote=vote, comment="Not what was agreed." if vote != "approve" else None
        )
        async with self.db.transaction("tests.vote", merchant_id=self.merchant) as tx:
            await commands.vote(
                tx, self.runtime, (self.merchant, refund_id), request=request, actor=actor
            )
        return await commands.carry_on(self.runtime, self.merchant, refund_id)

    async def cancel(self, refund_id: str, by: By) -> RefundRow:
        actor = approval.actor_of(by, roles=frozenset({"merchant_admin"}), auth=None)
        await commands.cancel(self.runtime, await self.look(refund_id), actor, reason=None)
        return await commands.carry_on(self.runtime, self.merchant, refund_id)

    async def look(self, refund_id: str) -> RefundRow:
        async with self.db.transaction("tests.look", merchant_id=self.merchant) as tx:
            return await commands.find(tx, self.merchant, refund_id)


async def send(db: Database, refund_id: str) -> Any:
    """Let the refund be claimed for sending, as the send job does."""
    async with db.transaction("tests.claim") as tx:
        return await Refunds().claim(tx, refund_id)


async def hear(db: Database, refund_id: str, state: OutcomeState, **said: Any) -> None:
    """Let the operator answer."""
    told = {"provider_ref": "wv_1", "code": None, "reason": None, **said}
    outcome = Outcome(state=state, at=datetime.now(UTC), **told)
    async with db.transaction("tests.settle") as tx:
        await Refunds().settle(tx, refund_id, outcome)


async def pay(db: Database, refund_id: str) -> None:
    """Send the refund, and let the operator pay it."""
    await send(db, refund_id)
    await hear(db, refund_id, "settled")


async def give_up(db: Database, refund_id: str) -> None:
    """End a refund that waits for others, as an expiry does."""
    async with db.transaction("tests.expire") as tx:
        row = await commands.find(tx, MERCHANT, refund_id)
        await approval.settle_ended(tx, commands.params_of(row), "expired")
