"""What a dispute is, what may become of it, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal

GRACE = timedelta(days=7)
"""How long the network has to say that an unanswered dispute is lost."""


class State(StrEnum):
    EARLY_WARNING = "early_warning"
    PREVENTED = "prevented"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    ACCEPTED = "accepted"
    EXPIRED = "expired"


class Response(StrEnum):
    """What the merchant, or the clock in its place, did at a stage."""

    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    FORFEITED = "forfeited"
    PREVENTED = "prevented"


# The same pairs are rows of payments.dispute_moves, which payments.dispute_events
# references. The network is not bound by them: it may say anything at any time, and its
# reports may come in any order.
MOVES: Mapping[State, frozenset[State]] = {
    State.EARLY_WARNING: frozenset({State.PREVENTED}),
    State.PREVENTED: frozenset(),
    State.NEEDS_RESPONSE: frozenset({State.UNDER_REVIEW, State.ACCEPTED, State.EXPIRED}),
    State.UNDER_REVIEW: frozenset(),
    State.WON: frozenset(),
    State.LOST: frozenset(),
    State.ACCEPTED: frozenset(),
    State.EXPIRED: frozenset({State.LOST}),
}
assert MOVES.keys() == set(State)

OPEN = frozenset({State.NEEDS_RESPONSE, State.UNDER_REVIEW, State.EXPIRED})
"""The disputed money is held, and nobody has decided whose it is."""
FINAL = frozenset({State.WON, State.LOST, State.ACCEPTED, State.PREVENTED})
TAKEN = OPEN | {State.LOST, State.ACCEPTED}

STAGES = ("pre_dispute", "dispute", "pre_arbitration", "arbitration")

# How the specification calls each state; payments.disputes.status is generated likewise.
_STATUS = {
    State.EARLY_WARNING: "open",
    State.PREVENTED: "accepted",
    State.NEEDS_RESPONSE: "open",
    State.UNDER_REVIEW: "under_review",
    State.WON: "won",
    State.LOST: "lost",
    State.ACCEPTED: "accepted",
    State.EXPIRED: "lost",
}
# What holds whatever the network says short of a decision.
_ANSWERED: Mapping[Response | None, State] = {
    Response.PREVENTED: State.PREVENTED,
    Response.ACCEPTED: State.ACCEPTED,
    Response.FORFEITED: State.LOST,
}
DECIDED_WORDS = frozenset({"won", "lost", "accepted"})
# How decided each word is; what comes later among reports of one version.
_RANK = {"open": 1, "under_review": 2, "escalated": 3, "accepted": 5, "lost": 5, "won": 5}


class DisputeAbsent(Refusal):
    code = "dispute-absent"
    kind = Kind.ABSENT
    title = "No such dispute"


class DisputeNotOpen(Refusal):
    code = "dispute-not-open"
    kind = Kind.CONFLICT
    title = "This dispute takes no answer now"


class DeadlinePassed(Refusal):
    code = "dispute-deadline-passed"
    kind = Kind.CONFLICT
    title = "The time to answer this dispute is over"


class AnswerFinal(Refusal):
    code = "dispute-answer-final"
    kind = Kind.CONFLICT
    title = "The answer to this dispute has been sent"


class AnswerEmpty(Refusal):
    code = "dispute-answer-empty"
    kind = Kind.BROKEN_RULE
    title = "There is nothing to send"


class AnswerChanged(Refusal):
    code = "dispute-answer-changed"
    kind = Kind.CONFLICT
    title = "The answer is no longer what you looked at"


class ConfirmationWrong(Refusal):
    code = "dispute-confirmation-wrong"
    kind = Kind.BROKEN_RULE
    title = "What was typed does not confirm it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One thing the network said."""

    version: int
    word: str
    amount: int
    fee: int
    currency: str
    posts: bool = True
    provider: str | None = None
    transaction_id: str | None = None
    reason: str | None = None
    occurred_at: Instant
    metadata: Mapping[str, object] = field(default_factory=dict)
    received_at: Instant

    @property
    def order(self) -> tuple[int, int, int, int, str, str]:
        """Place this report among all of its dispute, whenever it came."""
        return (self.version, _RANK[self.word], self.amount, self.fee, self.currency, self.word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A dispute as it stands. Amounts are minor units of its currency."""

    merchant_id: str
    id: str
    transaction_id: str | None
    type: str
    reason: str | None
    network_reason_code: str | None
    provider: str | None
    provider_dispute_id: str | None
    network_case_id: str | None
    amount: int
    fee: int
    currency: str
    version: int
    reported_state: str
    state: State
    stage: int
    response: Response | None
    occurred_at: Instant
    opened_at: Instant
    evidence_due_at: Instant | None
    submitted_at: Instant | None
    resolved_at: Instant | None
    metadata: Mapping[str, object]
    posted_amount: int
    posted_fee: int
    held_amount: int
    moves: int
    revision: int

    @property
    def status(self) -> str:
        if self.state is State.NEEDS_RESPONSE and self.stage > 1:
            return "escalated"
        return _STATUS[self.state]

    @property
    def stage_name(self) -> str:
        return STAGES[min(self.stage, len(STAGES) - 1)]

    @property
    def resolution(self) -> str | None:
        """Say in the specification's words who has the money; None while nobody knows."""
        if self.state is State.WON:
            return "merchant_won"
        return "customer_won" if self.state in FINAL else None


def state_of(word: str, stage: int, response: Response | None) -> State:
    """Put together what the network said last and what was done at this stage."""
    if word in DECIDED_WORDS:
        return State(word)
    if response in _ANSWERED:
        return _ANSWERED[response]
    if word == "under_review":
        return State.UNDER_REVIEW
    if response is not None:
        return State.UNDER_REVIEW if response is Response.SUBMITTED else State.EXPIRED
    return State.EARLY_WARNING if stage == 0 else State.NEEDS_RESPONSE


def respond(dispute: Dispute, response: Response, *, now: Instant) -> Dispute:
    """Let the merchant or the clock do something; it must be possible."""
    state = state_of(dispute.reported_state, dispute.stage, response)
    assert state in MOVES[dispute.state], f"{dispute.state} does not become {state}"
    submitted_at = now if response is Response.SUBMITTED else dispute.submitted_at
    resolved_at = now if state in FINAL else None
    return replace(
        dispute, state=state, response=response, submitted_at=submitted_at, resolved_at=resolved_at
    )


def check_answerable(dispute: Dispute, *, now: Instant) -> None:
    """
    Raises:
        AnswerFinal: an answer was sent at this stage.
        DeadlinePassed: says when it was.
        DisputeNotOpen: says how it stands.
    """
    due = dispute.evidence_due_at
    if dispute.response is Response.SUBMITTED:
        raise AnswerFinal(
            f"The evidence was sent{_at(dispute.submitted_at)} and can no longer be changed.",
            state=dispute.state.value,
        )
    late = due is not None and due <= now
    if dispute.state is State.EXPIRED or (dispute.state is State.NEEDS_RESPONSE and late):
        raise DeadlinePassed(f"Answers were taken until{_at(due)[3:]}.", **_deadline(due))
    if dispute.state is not State.NEEDS_RESPONSE:
        raise DisputeNotOpen(
            f"Its state is {dispute.state.value.replace('_', ' ')}.", state=dispute.state.value
        )


def _deadline(due: Instant | None) -> dict[str, str]:
    return {} if due is None else {"evidence_due_at": f"{due:%Y-%m-%dT%H:%M:%SZ}"}


def _at(instant: Instant | None) -> str:
    return "" if instant is None else f" at {instant:%Y-%m-%dT%H:%M:%SZ}"
