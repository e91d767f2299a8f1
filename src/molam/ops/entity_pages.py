"""Search, and a page for each merchant, agent and transaction: nobody decides on a bare id."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.ledger import floats
from molam.ledger import queries as ledger
from molam.ops import permissions, store
from molam.ops.shell import framed, may
from molam.ops.views import Line, line
from molam.payments import queries as payments
from molam.payments.list_store import AnyTransactionRow
from molam.platform.db import Database
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of
from molam.tenancy import queries as tenancy
from molam.tenancy import standing, standing_store

routes = Routes()

# Nothing is called so at length: whatever is beyond cannot help to find it.
TERM_LENGTH_MAX = 100
FOUND_MAX = 8
ACTIONS_SHOWN = 10
TRANSACTIONS_SHOWN = 8
MOVEMENTS_SHOWN = 10
_PREFIX_MIN, _UUID_DIGITS = 4, 32


class SearchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    q: str = ""


class TransactionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    merchant: Annotated[str, Meta(min_length=1, max_length=255)]


@dataclass(frozen=True, slots=True)
class Found:
    actions: list[Line]
    merchants: list[standing_store.FoundMerchantRow]
    agents: list[standing_store.AgentRow]
    transactions: list[AnyTransactionRow]

    @property
    def total(self) -> int:
        return len(self.actions) + len(self.merchants) + len(self.agents) + len(self.transactions)


@dataclass(frozen=True, slots=True)
class Balance:
    id: str
    balance: int
    currency: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A button that begins to ask for an action, with what the page knows filled in."""

    type: str
    image: str
    given: dict[str, str]


@routes.get("/ops/search", needs=permissions.USE_CONSOLE, page=True, query=SearchQuery)
async def search(request: Request, caller: Caller, query: SearchQuery) -> Response:
    """Find merchants, agents, transactions and actions by name, number or reference."""
    term = query.q.strip()[:TERM_LENGTH_MAX]
    found = Found([], [], [], [])
    if term:
        found = await _find(request.app.state.db, term, language_of(request, caller))
    return await framed(request, caller, "search.html", place="search", q=term, result=found)


async def _find(db: Database, term: str, language: Language) -> Found:
    async with db.transaction("ops.search", readonly=True) as tx:
        low, high = _id_range(term)
        rows = await tx.all(store.SEARCH_ACTIONS, term=term, low=low, high=high, limit=FOUND_MAX)
        return Found(
            actions=[line(row, language, asked_by=row.created_by_name) for row in rows],
            merchants=await tenancy.search_merchants(tx, term, limit=FOUND_MAX),
            agents=await tenancy.search_agents(tx, term, limit=FOUND_MAX),
            transactions=await payments.search_transactions(tx, term, limit=FOUND_MAX),
        )


def _id_range(term: str) -> tuple[UUID | None, UUID | None]:
    """Return the first and last UUID that begin with *term*, or nothing that is one."""
    digits = term.lower().replace("-", "")
    hexadecimal = all(char in "0123456789abcdef" for char in digits)
    if not hexadecimal or not _PREFIX_MIN <= len(digits) <= _UUID_DIGITS:
        return None, None
    return UUID(digits.ljust(_UUID_DIGITS, "0")), UUID(digits.ljust(_UUID_DIGITS, "f"))


@routes.get(
    "/ops/merchants/{id}",
    needs=permissions.USE_CONSOLE,
    page=True,
    refuses=(tenancy.MerchantAbsent,),
)
async def merchant(request: Request, caller: Caller) -> Response:
    """Show a merchant: how it stands, its balances, and what was done to it."""
    db, id_ = request.app.state.db, request.path_params["id"]
    async with db.transaction("ops.merchant", readonly=True) as tx:
        stands = await standing.standing_of(tx, id_)
        fee = await standing.fee_on(tx, id_, stands.merchant.asked_at.date())
        balances = await floats.merchant_balances(tx, id_)
        latest = await payments.newest_transactions(tx, merchant_id=id_, limit=TRANSACTIONS_SHOWN)
    given = {"merchant_id": id_}
    thaws = Proposal("UNFREEZE_MERCHANT", "unfreeze", given)
    freezes = Proposal("FREEZE_MERCHANT", "freeze", given)
    return await framed(
        request,
        caller,
        "merchant.html",
        place="search",
        merchant=_Stands(stands),
        freeze=stands.freeze,
        fee=None if fee is None else Decimal(fee.basis_points) / 100,
        balances=[
            Balance(f"merchant:{id_}:available:{each.currency}", each.balance, each.currency)
            for each in balances
        ],
        proposals=_proposals(
            request,
            caller,
            thaws if stands.status == "frozen" else freezes,
            Proposal("ADJUST_MERCHANT_FEE", "fee", given),
        ),
        target_id=id_,
        actions=await _done_to(db, "merchant", id_, language_of(request, caller)),
        transactions=latest,
    )


class _Stands:
    """A merchant's row with the status that holds now, whatever the column still says."""

    def __init__(self, stands: standing.Standing) -> None:
        self.id = stands.merchant.id
        self.name = stands.merchant.name
        self.city = stands.merchant.city
        self.country = stands.merchant.country
        self.default_currency = stands.merchant.default_currency
        self.status = stands.status


@routes.get(
    "/ops/agents/{id}", needs=permissions.USE_CONSOLE, page=True, refuses=(tenancy.AgentAbsent,)
)
async def agent(request: Request, caller: Caller) -> Response:
    """Show an agent: the float, what moved it, and what was done to it."""
    db, id_ = request.app.state.db, request.path_params["id"]
    async with db.transaction("ops.agent", readonly=True) as tx:
        row = await tenancy.get_agent(tx, id_)
        balance = await floats.balance_of(tx, row.id, row.currency)
        movements = await floats.movements_of(tx, row.id, row.currency, limit=MOVEMENTS_SHOWN)
        owners = await tenancy.people_of(tx, [row.owner_id] if row.owner_id else [])
    owner = owners.get(row.owner_id or "")
    return await framed(
        request,
        caller,
        "agent.html",
        place="search",
        agent=row,
        owner_name=owner.name if owner else row.owner_id,
        movements=movements,
        balances=[Balance(floats.account_of(row.id, row.currency), balance, row.currency)],
        proposals=_proposals(
            request, caller, Proposal("ADJUST_FLOAT", "float", {"agent_id": row.id})
        ),
        target_id=row.id,
        actions=await _done_to(db, "agent", row.id, language_of(request, caller)),
        transactions=(),
    )


@routes.get(
    "/ops/transactions/{id:path}",
    needs=permissions.USE_CONSOLE,
    page=True,
    query=TransactionQuery,
    refuses=(payments.TransactionAbsent, tenancy.MerchantAbsent),
)
async def transaction(request: Request, caller: Caller, query: TransactionQuery) -> Response:
    """Show one transaction of a merchant, and where its money went."""
    db, id_ = request.app.state.db, request.path_params["id"]
    shop = await tenancy.get_merchant(db, query.merchant)
    async with db.transaction("ops.transaction", readonly=True) as tx:
        row = await payments.get_transaction(tx, merchant_id=shop.id, id_=id_)
        entries = await ledger.entries_of(tx, merchant_id=shop.id, cause_ids=[id_])
    return await framed(
        request,
        caller,
        "transaction.html",
        place="search",
        row=row,
        entries=entries,
        merchant=shop,
        actions=await _done_to(db, "transaction", id_, language_of(request, caller)),
    )


async def _done_to(db: Database, type_: str, id_: str, language: Language) -> list[Line]:
    rows = await db.read(store.LIST_OF_TARGET, type=type_, id=id_, limit=ACTIONS_SHOWN)
    return [line(row, language, asked_by=row.created_by_name) for row in rows]


def _proposals(request: Request, caller: Caller, *asked: Proposal) -> list[Proposal]:
    """Keep what the caller may ask for, and this installation knows how to do."""
    if not may(caller, permissions.PROPOSE):
        return []
    return [each for each in asked if each.type in request.app.state.runtime.registry]
