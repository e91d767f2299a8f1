"""What is told to whom, before anybody has been told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from molam.kernel.refusals import Kind as RefusalKind
from molam.kernel.refusals import Refusal

KEY_LENGTH_MAX = 200


class Kind(StrEnum):
    """What happened. Values are stored and sent, so they are never renamed."""

    ACTION_WAITING = "action_waiting"
    ACTION_ESCALATED = "action_escalated"
    ACTION_BLOCKED = "action_blocked"
    ACTION_SENT_BACK = "action_sent_back"
    ACTION_APPROVED = "action_approved"
    ACTION_REJECTED = "action_rejected"
    ACTION_EXPIRED = "action_expired"
    ACTION_CANCELLED = "action_cancelled"
    ACTION_STALE = "action_stale"
    ACTION_EXECUTED = "action_executed"
    ACTION_FAILED = "action_failed"
    EXECUTION_UNKNOWN = "execution_unknown"
    BREAK_GLASS_USED = "break_glass_used"
    REVIEW_DUE = "review_due"
    POLICY_CHANGED = "policy_changed"
    FREEZE_BEGUN = "freeze_begun"
    FREEZE_ENDED = "freeze_ended"
    DELEGATION_GIVEN = "delegation_given"
    DELEGATION_ENDED = "delegation_ended"
    BOOKS_DIFFER = "books_differ"
    MESH_FROZEN = "mesh_frozen"
    SHIFT_HALTED = "shift_halted"
    MESH_PRACTICE_FAILED = "mesh_practice_failed"
    REMEDIATION_HELD = "remediation_held"
    RECONCILIATION_OVERDUE = "reconciliation_overdue"
    ALERT_OPENED = "alert_opened"
    ALERT_ENDED = "alert_ended"
    ALERT_ESCALATED = "alert_escalated"
    PAYOUT_DESTINATION_CHANGED = "payout_destination_changed"
    DISPUTE_DUE = "dispute_due"
    ACCOUNT_CHANGED = "account_changed"


FOR_MERCHANTS = frozenset({Kind.PAYOUT_DESTINATION_CHANGED, Kind.DISPUTE_DUE, Kind.ACCOUNT_CHANGED})
"""What merchants' own people are told, and nobody else: no webhook, no chat of operations."""


class NoticeAbsent(Refusal):
    code = "notice-absent"
    kind = RefusalKind.ABSENT
    title = "No such notice"


class Undeliverable(Refusal):
    """Sending it again would end the same way."""

    code = "notice-undeliverable"
    kind = RefusalKind.BROKEN_RULE
    title = "The notice cannot be delivered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """
    One thing to tell.

    *key* names the fact: whoever was told of it under this key is not told again.
    *people* hear of it in their inbox, and by mail if they want; webhook and chat
    hear of every notice once. *link* is the path of a page, which must only show: of the
    merchant app if it is *for_merchants*, and then webhook and chat hear nothing of it.

    *facts* are what the sentences are made of, all of them optional:
    ``title`` (the action in one sentence, ``{"fr", "en"}``), ``action_type``,
    ``target``, ``amount`` (``{"currency", "minor"}``), ``by`` (a name), ``deadline``
    (an instant), ``intent_hash`` (hex), ``reason`` (free text, shown as a quotation),
    ``error``, ``policy``, ``change`` (a word of `policy_versions`), ``missing``
    (``{"fr", "en"}``: which votes), ``window`` (``approval`` or ``execution``).
    Secrets among them are masked before anything is stored.
    """

    kind: Kind
    key: str
    people: Sequence[str]
    subject: str
    link: str
    facts: Mapping[str, object] = field(default_factory=dict)
    urgent: bool = False
    for_merchants: bool = False

    def __post_init__(self) -> None:
        assert 1 <= len(self.key) <= KEY_LENGTH_MAX, "a notice's key is 1 to 200 characters"
        assert self.link.startswith("/"), "a notice links to a page of ours"
        assert not self.link.startswith(("//", "/\\")), "a notice links to a page of ours"

    @property
    def is_for_merchants(self) -> bool:
        return self.for_merchants or self.kind in FOR_MERCHANTS
