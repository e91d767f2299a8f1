"""What becomes of one action, said a second time and plainly; times are flags, people are names."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from molam.approvals.policy.quorum_tree import AllOf, Quorum, Role

sys.path.append(str(Path(__file__).parent / "models"))

import decision_oracle as oracle

ATTEMPTS_MAX = 5
OPEN = ("pending", "blocked")
GRANTED = ("approved", "scheduled")
_STATUS = {
    "scheduled": "approved",
    "execution_unknown": "executing",
    "stale": "cancelled",
    "pending": "pending_approval",
    "blocked": "pending_approval",
}


class No(Exception):
    """The model's refusal; *keeps* tells whether what time did meanwhile is kept."""

    def __init__(self, code: str, *, keeps: bool = False) -> None:
        super().__init__(code)
        self.code, self.keeps = code, keeps


@dataclass(frozen=True)
class Kind:
    """A policy, as far as the model goes."""

    action_type: str
    policy: dict[str, object]
    quorums: tuple[Quorum, ...]
    """By level."""
    ratio: str
    veto: frozenset[str] = frozenset()
    objection: bool = False
    auto_execute: bool = False

    @property
    def roles(self) -> frozenset[str]:
        return frozenset().union(
            self.veto, *(each.roles for each in oracle._leaves(self.quorums[-1]))
        )


def _slot(roles: str, votes: int) -> Role:
    return Role(frozenset(roles.split()), votes)


def _needs(role: str, votes: int) -> dict[str, object]:
    return {"type": "role", "value": {"role": role, "min_votes": votes}}


KINDS = (
    Kind(
        "TILL_PAY",
        {"required_quorum": _needs("finance_ops", 2), "required_ratio": "3/5",
         "escalation_role": "cfo"},
        (_slot("finance_ops", 2), _slot("finance_ops cfo", 2)),
        "3/5",
    ),
    Kind(
        "TILL_SEND",
        {"required_quorum": {"type": "all_of", "value": [
            _needs("finance_ops", 1), _needs("ops_admin", 1)]},
         "required_ratio": "1", "veto_roles": ["compliance"]},
        (AllOf((_slot("finance_ops", 1), _slot("ops_admin", 1))),),
        "1",
        veto=frozenset({"compliance"}),
    ),
    Kind(
        "TILL_AUTO",
        {"required_quorum": _needs("finance_ops", 2), "required_ratio": "1/2",
         "escalation_role": "cfo", "auto_execute": True, "objection_window_s": 3600},
        (_slot("finance_ops", 2), _slot("finance_ops cfo", 2)),
        "1/2",
        objection=True,
        auto_execute=True,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Lent:
    """A role lent to somebody, and the moment from which it is."""

    owner: str
    delegate: str
    role: str
    since: int


@dataclass
class Directory:
    """Who holds which role, who has left, and who stands in for whom."""

    roles: dict[str, set[str]]
    away: set[str] = field(default_factory=set)
    lent: set[Lent] = field(default_factory=set)

    def holders(self, asked: frozenset[str]) -> dict[str, frozenset[str]]:
        found = {who: frozenset(held & asked) for who, held in self.roles.items()}
        return {who: held for who, held in sorted(found.items()) if held and who not in self.away}


@dataclass(frozen=True)
class Vote:
    word: str
    seat: str
    roles: frozenset[str]
    at: int


@dataclass
class Action:
    """
    One action. *due* and *window_due* say that the time to vote, or to carry it
    out, is over and nobody has looked since; *early* that it may not run yet.
    """

    kind: Kind
    creator: str
    state: str = "pending"
    level: int = 0
    votes: dict[str, Vote] = field(default_factory=dict)
    cast: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)
    due: bool = False
    can_escalate: bool = True
    window_due: bool = False
    early: bool = False
    is_emergency: bool = False
    executed_by: str | None = None
    retries: bool = False
    attempts: int = 0
    paid: int = 0
    found: tuple[str, str] | None = None

    @property
    def status(self) -> str:
        if self.state in OPEN and self.level:
            return "escalated"
        if self.state == "pending" and not self.cast:
            return "requested"
        return _STATUS.get(self.state, self.state)

    def row(self) -> dict[str, object]:
        yes, no, neither = self.counts
        return {
            "state": self.state,
            "status": self.status,
            "level": self.level,
            "votes_approve": yes,
            "votes_reject": no,
            "votes_abstain": neither,
            "votes_cast": self.cast,
            "attempts": self.attempts,
        }

    # What it is decided by

    def excluded(self, people: Directory) -> set[str]:
        stands_in = {each.delegate for each in people.lent if each.owner == self.creator}
        return {self.creator} | stands_in

    def asked(self) -> frozenset[str]:
        kind = self.kind
        leaves = oracle._leaves(kind.quorums[min(self.level, len(kind.quorums) - 1)])
        return frozenset().union(kind.veto, *(leaf.roles for leaf in leaves))

    def electors(self, people: Directory) -> dict[str, frozenset[str]]:
        gone = self.excluded(people)
        return {who: held for who, held in people.holders(self.asked()).items() if who not in gone}

    def ballots(self, people: Directory) -> list[SimpleNamespace]:
        gone = self.excluded(people)
        return [
            SimpleNamespace(voter=who, seat=vote.seat, roles=vote.roles, vote=vote.word)
            for who, vote in self.votes.items()
            if vote.word != "withdrawn" and who not in gone and _counts(who, vote, people)
        ]

    def verdict(self, people: Directory) -> tuple[str, str | None]:
        kind = self.kind
        rules = SimpleNamespace(
            quorum=kind.quorums[min(self.level, len(kind.quorums) - 1)],
            also=(),
            ratio=oracle.Fraction(kind.ratio),
            counting="approvals",
            veto_roles=kind.veto,
            reject_threshold=None,
        )
        electors = [
            SimpleNamespace(id=who, roles=held) for who, held in self.electors(people).items()
        ]
        return oracle.judged(rules, electors, self.ballots(people))

    # What happens to it

    def settle(self) -> None:
        while self.state in OPEN and self.due:
            if not self._escalate():
                self.state = "expired"
        if self.window_due and self.state in (*GRANTED, "failed"):
            self.state = "expired"

    def _escalate(self) -> bool:
        if not self.can_escalate or self.level + 1 >= len(self.kind.quorums):
            return False
        self.level += 1
        self.due = False
        return True

    def _escalate_blocked(self) -> bool:
        if self.level + 1 >= len(self.kind.quorums):
            return False
        self.level += 1
        self.due = False
        return True

    def conclude(self, people: Directory) -> None:
        verdict, _ = self.verdict(people)
        if verdict == "blocked" and self._escalate_blocked():
            verdict, _ = self.verdict(people)
        if verdict == "approved":
            self.state, self.window_due = "approved", False
            self.due, self.can_escalate = False, False
            if self.kind.objection:
                self.state, self.early = "scheduled", True
        else:
            self.state = verdict

    def vote(self, who: str, word: str, people: Directory, at: int) -> str:
        """Return "late" for a rejection that is only kept as a comment."""
        self.settle()
        if self.state == "expired":
            if word == "reject":
                return "late"
            raise No("action-expired")
        seat, roles = self._seat(who, people)
        if self.state not in OPEN:
            may_object = self.state == "scheduled" and self.kind.objection and word == "reject"
            if not may_object:
                raise No("action-not-in-state")
        earlier = self.votes.pop(who, None)
        if word == "withdrawn" and (
            earlier is None or earlier.word == "withdrawn" or not _counts(who, earlier, people)
        ):
            raise No("no-vote")
        self.votes[who] = Vote(word, seat, roles, at)
        self.cast += 1
        words = [each.vote for each in self.ballots(people)]
        self.counts = (words.count("approve"), words.count("reject"), words.count("abstain"))
        if self.state == "scheduled":
            self.state = "rejected"
        else:
            self.conclude(people)
        return "ok"

    def _seat(self, who: str, people: Directory) -> tuple[str, frozenset[str]]:
        if who in self.excluded(people) | people.away:
            raise No("not-eligible")
        electors = self.electors(people)
        if who in electors:
            return who, electors[who]
        lenders = {
            each.owner: each.role
            for each in people.lent
            if each.delegate == who and each.role in electors.get(each.owner, ())
        }
        # Whom somebody else speaks for already comes last.
        spoken_for = {
            vote.seat
            for voter, vote in self.votes.items()
            if voter != who and _counts(voter, vote, people)
        }
        ranked = sorted(lenders, key=lambda owner: (owner in spoken_for, owner))
        if not ranked:
            raise No("not-eligible")
        return ranked[0], frozenset({lenders[ranked[0]]})

    def cancel(self, who: str, people: Directory) -> None:
        if who != self.creator and "ops_admin" not in people.roles[who]:
            raise No("same-hands")
        self.settle()
        if self.state not in (*OPEN, *GRANTED, "failed"):
            raise No("action-not-in-state")
        self.state = "cancelled"

    def break_glass(self) -> None:
        self.settle()
        if self.state not in OPEN:
            raise No("action-not-in-state")
        self.state, self.is_emergency, self.window_due = "approved", True, False
        self.can_escalate = False

    def execute(self, who: str, end: str, people: Directory, *, is_system: bool = False) -> None:
        """*end* is what becomes of the attempt: ok, transient, permanent, stale or unknown."""
        self.settle()
        self._check_executable(who, people, is_system=is_system)
        self.attempts += 1
        self.executed_by = who
        self.state = {
            "ok": "executed",
            "transient": "failed",
            "permanent": "failed",
            "stale": "stale",
            "unknown": "execution_unknown",
        }[end]
        self.paid += end in {"ok", "unknown"}
        # A failure of an emergency may be repeated as one.
        self.is_emergency &= end in {"transient", "permanent", "unknown"}
        self.retries = end == "transient" and self.attempts < ATTEMPTS_MAX
        if end == "unknown":
            self.found = None

    def _check_executable(self, who: str, people: Directory, *, is_system: bool) -> None:
        if self.state == "expired":
            raise No("action-expired", keeps=True)
        if self.state not in (*GRANTED, "failed"):
            raise No("action-not-in-state", keeps=True)
        if self.early:
            raise No("action-not-yet", keeps=True)
        if self.is_emergency:
            return
        if self.verdict(people)[0] != "approved":
            self.state, self.due, self.window_due, self.retries = "pending", False, False, False
            raise No("no-longer-approved", keeps=True)
        approvers = {each.voter for each in self.ballots(people) if each.vote == "approve"}
        if who in approvers or (is_system and not self.kind.auto_execute):
            raise No("same-hands", keeps=True)

    def reconcile(self, who: str, outcome: str) -> None:
        """Two people must say the same."""
        if self.found is not None and self.found[0] == who:
            raise No("same-hands")
        if self.state != "execution_unknown":
            raise No("action-not-in-state")
        if self.found is not None and self.found[1] == outcome:
            self.state, self.retries = outcome, False
        else:
            self.found = (who, outcome)

    def sweep(self, people: Directory) -> None:
        is_due = self.state in OPEN and self.due
        is_due |= self.window_due and self.state in (*GRANTED, "failed")
        if not is_due:
            return
        self.settle()
        if self.state in OPEN:
            self.conclude(people)


def _counts(who: str, vote: Vote, people: Directory) -> bool:
    """Tell whether a vote in another's seat is still lent to whoever cast it."""
    if vote.seat == who:
        return True
    return who not in people.away and any(
        (each.owner, each.delegate) == (vote.seat, who)
        and each.role in vote.roles
        and each.since < vote.at
        for each in people.lent
    )
