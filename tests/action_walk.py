"""A random walk over the engine on PostgreSQL, each step judged by the model beside it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass
from uuid import UUID, uuid4

from action_model import GRANTED, KINDS, OPEN, Action, Directory, Kind, Lent, No
from audit_records import assert_audited
from builders import a_person, a_policy
from molam.approvals import aftermath, commands, queries, sweeps, voting
from molam.approvals.engine import Engine
from molam.approvals.model import Actor, VoteRequest
from molam.kernel.refusals import Refusal
from molam.platform.db import Database
from till import Ends, Tills, make_tills

PEOPLE: dict[str, set[str]] = {
    "fin-1": {"finance_ops"},
    "fin-2": {"finance_ops"},
    "fin-3": {"finance_ops"},
    "ops-1": {"ops_admin"},
    "ops-2": {"ops_admin"},
    "both-1": {"finance_ops", "ops_admin"},
    "maker-1": {"finance_ops", "ops_admin"},
    "law-1": {"compliance"},
    "chief-1": {"cfo", "super_admin"},
    "guest-1": set(),
}
ROLES = ("finance_ops", "ops_admin", "compliance", "cfo")
WORDS = ("approve",) * 6 + ("reject", "abstain", "withdrawn")
ENDS: dict[str, tuple[Ends, ...]] = {
    "TILL_SEND": ("ok", "transient", "permanent", "stale", "unknown", "unknown"),
}
LOCAL_ENDS: tuple[Ends, ...] = ("ok", "ok", "transient", "permanent", "stale")
ENDED = {"executed", "expired", "rejected", "cancelled", "stale"}
WHY = "Vu avec le marchand."


@dataclass
class Known:
    id: UUID
    till: str
    model: Action


class Walk:
    """Steps of people, jobs and time over a few actions at once."""

    def __init__(self, db: Database, ops_db: Database, seed: int) -> None:
        self.db, self.seed = db, seed
        self.tills = Tills()
        self.engine = Engine.of(ops_db, self.tills.registry)
        self.people = Directory(deepcopy(PEOPLE))
        self.actions: list[Known] = []
        self.seen: Counter[str] = Counter()
        self._rnd = random.Random(seed)
        self._now = 0

    async def begin(self) -> None:
        await make_tills(self.db)
        for person, roles in PEOPLE.items():
            await a_person(self.db, id_=person, roles=sorted(roles), merchant_id=None)
        for kind in KINDS:
            policy = {"timeout_seconds": 7200, "min_role_age_s": 0, **kind.policy}
            await a_policy(
                self.db,
                name=kind.action_type,
                criteria={"action_type": kind.action_type},
                policy=policy,
            )

    async def run(self, steps: int) -> None:
        for self._now in range(1, steps + 1):
            about = await self._step()
            try:
                await self._compare(about)
            except AssertionError as failure:
                raise AssertionError(f"seed {self.seed}, step {self._now}: {failure}") from failure
        assert await assert_audited(self.db) == len(self.actions)

    async def _step(self) -> list[Known]:
        if not self.actions or self._rnd.random() < 0.06:
            return await self._create()
        steps: tuple[tuple[Callable[[Known], Awaitable[None]], int], ...] = (
            (self._vote, 20),
            (self._execute, 9),
            (self._cancel, 1),
            (self._break_glass, 1),
            (self._reconcile, 3),
            (self._grant_or_revoke, 4),
            (self._leave_or_return, 2),
            (self._lend_or_end, 3),
            (self._time_passes, 4),
            (self._jobs, 3),
        )
        [step] = self._rnd.choices([s for s, _ in steps], weights=[w for _, w in steps])
        # Rather something that is under way, so that most steps come to something.
        alive = [each for each in self.actions if each.model.state not in ENDED] or self.actions
        known = self._rnd.choice((alive if self._rnd.random() < 0.9 else self.actions)[-3:])
        await step(known)
        return self.actions if step == self._jobs else [known]

    async def _compare(self, about: list[Known]) -> None:
        async with self.db.transaction("walk.compare") as tx:
            for known in about:
                row = await tx.connection.fetchrow(
                    "select *, (select count(*) from public.payments where till = $2) as paid"
                    " from approvals.ops_actions where id = $1",
                    known.id,
                    known.till,
                )
                expected = {**known.model.row(), "paid": known.model.paid}
                found = {name: row[name] for name in expected}
                assert found == expected, f"{found}, and the model has {expected}"
        await assert_audited(self.db, *(known.id for known in about))

    async def _both(
        self, known: Known, verb: str, who: str, real: Callable[[], Awaitable[object]],
        modelled: Callable[[Action], object],
    ) -> None:  # fmt: skip
        """Do it in the engine and in the model: the same answer, and the one the page foretold."""
        page = await queries.action_page(
            self.engine.runtime, known.id, self._actor(who), locale="fr"
        )
        trial = deepcopy(known.model)
        try:
            expected = str(modelled(trial) or "ok")
            known.model = trial
        except No as no:
            expected = no.code
            if no.keeps:
                known.model = trial
        try:
            answer = _short(await real())
        except Refusal as refusal:
            answer = refusal.code
        where = f"seed {self.seed}, step {self._now}: {verb} by {who}"
        assert answer == expected, f"{where}: {answer}, and the model says {expected}"
        foretold = page.can.get(verb)
        if foretold != "role":
            assert (foretold is None) == (answer == "ok"), f"{where}: {answer}, foretold {foretold}"
        self.seen[f"{verb}: {answer}"] += 1

    def _actor(self, who: str) -> Actor:
        return Actor(who, roles=frozenset(self.people.roles[who]))

    def _anybody(self) -> str:
        return self._rnd.choice(sorted(PEOPLE))

    def _voter(self, model: Action) -> str:
        """Choose rather somebody who may vote, or who stands in for them."""
        able = {*model.electors(self.people), *(each.delegate for each in self.people.lent)}
        return (
            self._rnd.choice(sorted(able)) if able and self._rnd.random() < 0.8 else self._anybody()
        )

    async def _create(self) -> list[Known]:
        kind: Kind = self._rnd.choice(KINDS)
        creator = self._rnd.choice(("maker-1", "maker-1", "ops-1"))
        till = f"till-{self._now}"
        model = Action(kind, creator)
        model.level = len(kind.quorums) - 1
        is_hopeless = model.verdict(self.people)[0] == "blocked"
        model.level = 0
        try:
            made = await self.engine.create_ops_action(
                origin="module",
                action_type=kind.action_type,
                params={"till": till},
                created_by=creator,
            )
        except Refusal as refusal:
            if is_hopeless and refusal.code == "policy-unsatisfiable":
                return []
            raise AssertionError(f"not created: {refusal.code}") from refusal
        assert not is_hopeless, f"seed {self.seed}, step {self._now}: nobody could approve it"
        known = Known(UUID(made["id"]), till, model)
        self.actions.append(known)
        return [known]

    async def _vote(self, known: Known) -> None:
        who, word = self._voter(known.model), self._rnd.choice(WORDS)
        verb = "withdraw" if word == "withdrawn" else word
        runtime = self.engine.runtime
        request = VoteRequest(vote=word, comment=WHY)
        await self._both(
            known,
            verb,
            who,
            lambda: voting.vote(runtime, known.id, request, self._actor(who)),
            lambda action: action.vote(who, word, self.people, self._now),
        )

    async def _execute(self, known: Known) -> None:
        who = self._anybody()
        end = self._end(known)
        self.tills.says[known.till] = [end]
        await self._both(
            known,
            "execute",
            who,
            lambda: self.engine.execute_action(str(known.id), who),
            lambda action: action.execute(who, end, self.people),
        )
        self.tills.says[known.till] = []

    def _end(self, known: Known) -> Ends:
        return self._rnd.choice(ENDS.get(known.model.kind.action_type, LOCAL_ENDS))

    async def _cancel(self, known: Known) -> None:
        who = self._anybody()
        await self._both(
            known,
            "cancel",
            who,
            lambda: commands.cancel(
                self.engine.runtime.db, known.id, self._actor(who), reason=None
            ),
            lambda action: action.cancel(who, self.people),
        )

    async def _break_glass(self, known: Known) -> None:
        await self._both(
            known,
            "break_glass",
            "chief-1",
            lambda: aftermath.break_glass(
                self.engine.runtime.db, known.id, self._actor("chief-1"), reason=WHY
            ),
            lambda action: action.break_glass(),
        )

    async def _reconcile(self, known: Known) -> None:
        unknown = [each for each in self.actions if each.model.state == "execution_unknown"]
        known = self._rnd.choice(unknown or [known])
        who, outcome = (
            self._rnd.choice(("ops-1", "fin-1")),
            self._rnd.choice(("executed", "failed")),
        )
        await self._both(
            known,
            "reconcile",
            who,
            lambda: aftermath.reconcile(
                self.engine.runtime.db,
                known.id,
                self._actor(who),
                executed=outcome == "executed",
                evidence=WHY,
            ),
            lambda action: action.reconcile(who, outcome),
        )
        await self._compare([known])

    async def _run(self, sql: str, *given: object) -> None:
        async with self.db.transaction("walk.change") as tx:
            await tx.connection.execute(sql, *given)

    async def _grant_or_revoke(self, _: Known) -> None:
        who, role = self._anybody(), self._rnd.choice(ROLES)
        if self.people.roles[who] != PEOPLE[who] and self._rnd.random() < 0.6:
            # Back to what it was: else nobody would be left to decide anything.
            role = self._rnd.choice(sorted(self.people.roles[who] ^ PEOPLE[who]))
        if role == "super_admin":
            return
        held = self.people.roles[who]
        if role in held:
            held.discard(role)
            await self._run(
                "update tenancy.role_grants set revoked_at = clock_timestamp()"
                " where person_id = $1 and role = $2 and revoked_at is null",
                who,
                role,
            )
        else:
            held.add(role)
            await self._run(
                "insert into tenancy.role_grants (id, person_id, role, granted_at, granted_by)"
                " values ($1, $2, $3, clock_timestamp(), 'walk')",
                uuid4(),
                who,
                role,
            )

    async def _leave_or_return(self, _: Known) -> None:
        # Somebody always comes back sooner than the next one leaves.
        who = self._rnd.choice(sorted(self.people.away) * 2 or sorted(PEOPLE))
        who = self._anybody() if self._rnd.random() < 0.3 else who
        self.people.away ^= {who}
        await self._run(
            "update tenancy.people set deactivated_at = case when $2 then clock_timestamp() end"
            " where id = $1",
            who,
            who in self.people.away,
        )

    async def _lend_or_end(self, _: Known) -> None:
        owner, delegate = self._rnd.sample(sorted(PEOPLE), 2)
        pair = {
            each for each in self.people.lent if (each.owner, each.delegate) == (owner, delegate)
        }
        if pair or (self.people.lent and self._rnd.random() < 0.3):
            ended = self._rnd.choice(sorted(pair or self.people.lent, key=str))
            self.people.lent.discard(ended)
            await self._run(
                "update approvals.delegations set revoked_at = clock_timestamp()"
                " where delegator_id = $1 and delegate_id = $2",
                ended.owner,
                ended.delegate,
            )
            return
        role = self._rnd.choice(sorted(self.people.roles[owner]) or list(ROLES))
        self.people.lent.add(Lent(owner, delegate, role, self._now))
        await self._run(
            "insert into approvals.delegations (id, delegator_id, delegate_id, role, starts_at,"
            " ends_at, reason, created_at) values ($1, $2, $3, $4, clock_timestamp(),"
            " clock_timestamp() + interval '1 day', 'walk', clock_timestamp())",
            uuid4(),
            owner,
            delegate,
            role,
        )

    async def _time_passes(self, known: Known) -> None:
        """Let whatever the action waits for be over: a deadline, or a time before which it rests."""
        model = known.model
        await self._run(
            "update approvals.ops_actions set created_at = created_at - interval '1 day'"
            " where id = $1",
            known.id,
        )
        if model.state in OPEN:
            model.due = True
            await self._run(
                "update approvals.ops_actions set expires_at = clock_timestamp(),"
                " escalates_at = case when escalates_at is not null then clock_timestamp() end"
                " where id = $1",
                known.id,
            )
        elif model.early:
            model.early = False
            await self._run(
                "update approvals.ops_actions set not_before = clock_timestamp() where id = $1",
                known.id,
            )
        elif model.state in (*GRANTED, "failed") and self._rnd.random() < 0.4:
            model.window_due = True
            await self._run(
                "update approvals.ops_actions set execution_deadline = clock_timestamp()"
                " where id = $1",
                known.id,
            )

    async def _jobs(self, _: Known) -> None:
        """Run what runs every minute, twice over; nothing may happen twice."""
        await self._run(
            "update approvals.ops_actions set next_attempt_at = clock_timestamp()"
            " where next_attempt_at is not null"
        )
        runtime = self.engine.runtime
        for known in self.actions:
            known.model.sweep(self.people)
        await sweeps.escalate_expired(runtime)
        await sweeps.escalate_expired(runtime)
        for known in self.actions:
            self._run_by_itself(known)
        await sweeps.auto_execute(runtime)

    def _run_by_itself(self, known: Known) -> None:
        model = known.model
        is_granted = model.state in GRANTED and model.kind.auto_execute and not model.early
        if not is_granted and not (model.state == "failed" and model.retries):
            return
        is_system = is_granted or model.executed_by == SYSTEM
        who = SYSTEM if is_system else str(model.executed_by)
        end = self._end(known)
        self.tills.says[known.till] = [end]
        trial = deepcopy(model)
        try:
            trial.execute(who, end, self.people, is_system=is_system)
            known.model = trial
        except No as no:
            self.tills.says[known.till] = []
            if no.keeps:
                known.model = trial


SYSTEM = "system_auto_execute"


def _short(answer: object) -> str:
    return "late" if isinstance(answer, voting.Cast) and answer.late else "ok"
