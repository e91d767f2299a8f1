"""Links by which one person takes one decision, once, without signing in."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from molam.approvals.risk.store import RiskRow
from molam.approvals.store import ActionRow
from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.platform.settings import Secret

Decision = Literal["approve", "reject"]
DECISIONS: tuple[Decision, ...] = ("approve", "reject")

_PARTS = 5
_LENGTH_MAX = 1024
_NONCE_BYTES = 16
_LINK_RISKS = frozenset({"low", "medium"})

# Note [Links that nobody can make]
#
# A link is five parts: approval, approver, decision, time, nonce. The database keeps
# its HMAC, under a key that is not in the database, so whoever reads the database has
# no link; and the nonce is itself an HMAC of the row's id, so that whoever has the key
# can write a link again when it is time to send it, and nothing has to keep it. It is
# spent in the transaction of the vote it casts, and only if that vote is accepted.
# Nothing but a POST spends it: mail scanners, previews and browsers that look ahead
# may open the page as often as they like.
#
# A link proves one thing: that whoever holds it can read a mailbox. It may say no to
# anything, for that only tightens. It says yes alone only where one person's yes is
# enough and the risk is at most medium; anywhere else that person signs in besides.


PATH = "/approvals/link"
"""The page a link opens."""


def is_enough(action: ActionRow, row: RiskRow) -> bool:
    """Tell whether a link alone may approve."""
    return row.required_approvals <= 1 and action.risk_level in _LINK_RISKS


def page_of(action_id: UUID) -> str:
    """Return the console's page, where one signs in to decide."""
    return f"/ops/actions/{action_id}"


class MissingToken(Refusal):
    code = "missing-token"
    kind = Kind.MALFORMED
    title = "The link's token is missing"


class TokenNotFound(Refusal):
    code = "token-not-found"
    kind = Kind.MALFORMED
    title = "This link is not one of ours"


class TokenUsed(Refusal):
    code = "token-already-used"
    kind = Kind.MALFORMED
    title = "This link has been used"


class TokenExpired(Refusal):
    code = "token-expired"
    kind = Kind.MALFORMED
    title = "This link has expired"


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links and knows them again."""

    key: Secret
    ttl_s: int

    def raw(
        self, *, id_: UUID, approval_id: UUID, approver_id: str, decision: Decision, at: Instant
    ) -> str:
        """Write the link of the row *id_*, which was made *at* that time."""
        nonce = self._mac(b"nonce", str(id_))[: 2 * _NONCE_BYTES]
        return f"{approval_id}|{approver_id}|{decision}|{int(at.timestamp())}|{nonce}"

    def hash(self, raw: str) -> str:
        return self._mac(b"token", raw)

    def _mac(self, purpose: bytes, text: str) -> str:
        message = purpose + b"\x00" + text.encode()
        return hmac.new(self.key.reveal().encode(), message, hashlib.sha256).hexdigest()


def approval_named_in(raw: str | None) -> UUID:
    """
    Read which approval a link is about; whether it is genuine, only its hash tells.

    Raises:
        MissingToken: there is none.
        TokenNotFound: it cannot be one.
    """
    if not raw:
        raise MissingToken("Send the link's token.")
    if len(raw) > _LENGTH_MAX or raw.count("|") < _PARTS - 1:
        raise TokenNotFound("Open the link exactly as it was sent.")
    try:
        return UUID(raw.partition("|")[0])
    except ValueError:
        raise TokenNotFound("Open the link exactly as it was sent.") from None
