"""Asks for actions, votes and lets time pass, on a database of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fake_actions import Psp
from molam.approvals import aftermath, commands, execution, store, voting
from molam.approvals.commands import Created
from molam.approvals.engine import Engine, read_request
from molam.approvals.model import Actor, Auth, Executed, VoteRequest
from molam.approvals.queries import Counted, counted
from molam.approvals.runtime import Runtime
from molam.approvals.store import ActionRow
from molam.approvals.voting import Cast
from molam.platform.db import Database

CREATOR = "pay-admin-1"
EXECUTOR = "ops-admin-3"
WHY = "Vu avec le demandeur ce matin."

# Two ops_admin, unanimous, is what decides where no policy speaks.
VOTERS = ("ops-admin-1", "ops-admin-2")


@dataclass
class Ops:
    """The engine as an ops process runs it, with a second pair of eyes on its tables."""

    engine: Engine
    db: Database
    psp: Psp

    @property
    def runtime(self) -> Runtime:
        return self.engine.runtime

    async def create(
        self, type_: str = "COUNT", *, by: str | Actor = CREATOR, **fields: Any
    ) -> Created:
        params = {"counter": "north", **fields.pop("params", {})}
        request = read_request(
            {"origin": "ops_ui", "action_type": type_, "params": params, **fields}
        )
        runtime = self.runtime
        actor = by if isinstance(by, Actor) else Actor(by)
        return await commands.create(runtime, request, actor)

    async def ask(self, type_: str = "COUNT", **how: Any) -> UUID:
        return (await self.create(type_, **how)).row.id

    async def approved(self, type_: str = "COUNT", **how: Any) -> UUID:
        """An action that two ops_admin have approved."""
        id_ = await self.ask(type_, **how)
        for voter in VOTERS:
            await self.vote(id_, voter)
        assert await self.state(id_) == "approved"
        return id_

    async def vote(self, id_: UUID, who: str | Actor, word: str = "approve", **fields: Any) -> Cast:
        actor = who if isinstance(who, Actor) else Actor(who)
        if word == "reject":
            fields.setdefault("comment", WHY)
        request = VoteRequest(vote=word, **fields)  # type: ignore[arg-type]
        return await voting.vote(self.runtime, id_, request, actor)

    async def execute(self, id_: UUID, who: str = EXECUTOR) -> Executed:
        return await execution.execute(self.runtime, id_, Actor(who))

    async def reconcile(self, id_: UUID, who: str, *, executed: bool) -> aftermath.Reconciled:
        return await aftermath.reconcile(
            self.runtime.db, id_, Actor(who), executed=executed, evidence=WHY
        )

    async def compensate(self, id_: UUID, who: str = CREATOR) -> Created:
        return await aftermath.compensate(self.runtime, id_, Actor(who), reason=WHY)

    async def counted(self, id_: UUID) -> Counted:
        return await counted(self.runtime, id_)

    async def row(self, id_: UUID) -> ActionRow:
        """The stored row, without what time or policies would make of it now."""
        (found,) = await self.runtime.db.read(store.FIND_ACTION, id=id_)
        return found

    async def state(self, id_: UUID) -> str:
        return (await self.row(id_)).state

    async def events(self, id_: UUID) -> list[str]:
        trail = await self.engine.get_audit_trail(str(id_))
        return [each["event"] for each in trail]

    async def trail(self, id_: UUID) -> list[dict[str, Any]]:
        return await self.engine.get_audit_trail(str(id_))

    async def sql(self, statement: str, *args: object) -> list[tuple[Any, ...]]:
        async with self.db.transaction("tests.sql") as tx:
            return [tuple(row) for row in await tx.connection.fetch(statement, *args)]

    async def one(self, statement: str, *args: object) -> Any:
        return (await self.sql(statement, *args))[0][0]

    async def count(self, table: str) -> int:
        return int(await self.one(f"select count(*) from {table}"))

    async def value(self, counter: str = "north") -> int:
        found = await self.sql("select value from public.counters where name = $1", counter)
        return int(found[0][0]) if found else 0

    async def later(self, id_: UUID, **by: float) -> None:
        """Let time pass for one action: everything about it lies further back."""
        seconds = by.get("seconds", 0) + by.get("hours", 0) * 3600 + by.get("days", 0) * 86400
        columns = (
            "created_at", "expires_at", "escalates_at", "escalated_at", "not_before", "decided_at",
            "execution_deadline", "lease_until", "next_attempt_at", "executed_at", "verify_at",
        )  # fmt: skip
        moved = ", ".join(f"{each} = {each} - make_interval(secs => $2)" for each in columns)
        await self.sql(f"update approvals.ops_actions set {moved} where id = $1", id_, seconds)

    async def told(self, kind: str) -> list[str]:
        """Who has a notice of *kind* in their inbox, by name."""
        return [
            row[0]
            for row in await self.sql(
                "select i.person_id from notices.inbox as i"
                " join notices.notices as n on n.id = i.notice_id"
                " where n.kind = $1 order by i.person_id",
                kind,
            )
        ]

    async def revoke(self, person: str, role: str) -> None:
        await self.sql(
            "update tenancy.role_grants set revoked_at = now() where person_id = $1 and role = $2",
            *(person, role),
        )


def signed_in(
    id_: str, *, acr: str, age_s: float = 0, roles: frozenset[str] = frozenset()
) -> Actor:
    """Somebody as HTTP would describe them."""
    at = datetime.fromtimestamp(datetime.now(UTC).timestamp() - age_s, UTC)
    return Actor(id_, roles=roles, auth=Auth(acr=acr, auth_time=at))


async def together(*awaited: Any) -> list[Any]:
    """Run at once; what raises is returned."""
    return await asyncio.gather(*awaited, return_exceptions=True)


def role_policy(role: str = "ops_admin", votes: int = 2, **rest: Any) -> Mapping[str, object]:
    quorum = {"type": "role", "value": {"role": role, "min_votes": votes}}
    return {"required_quorum": quorum, "required_ratio": "1", **rest}
