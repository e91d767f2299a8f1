"""The approval service of another team over HTTP: asking it, and reading what it says."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import msgspec
import structlog
from msgspec import Meta

from molam.kernel import canonical
from molam.kernel.refusals import Outage, Refusal
from molam.platform.egress import Answer, Egress
from molam.platform.settings import Secret, Settings

log = structlog.get_logger()

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 256 * 1024

_TAKEN = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED})
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_SERVER_ERROR = 500

UNREACHABLE = "approval-service-unreachable"
REFUSED = "approval-service-refused"
GARBLED = "approval-service-garbled"
MISMATCH = "approval-service-mismatch"

Status = Literal[
    "held", "pending", "approved", "auto_approved", "rejected", "expired", "overridden"
]
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*\Z", max_length=128)]
SaidT = TypeVar("SaidT", bound=msgspec.Struct)


class Asked(msgspec.Struct, frozen=True):
    """The service took the question."""

    approval_id: Id
    status: Status


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """An approval as the service shows it."""

    id: Id
    status: Status
    action_type: str
    payload: dict[str, Any]
    payload_hash: str | None = None
    """As `risk.model.payload_hash` has it; a service that hashes otherwise leaves it out."""
    override_decision: Literal["approve", "reject"] | None = None


class Vote(msgspec.Struct, frozen=True):
    approver_id: Annotated[str, Meta(min_length=1, max_length=255)]
    decision: str


class Seen(msgspec.Struct, frozen=True):
    approval: Approval
    votes: list[Vote] = []


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing was learned. *code* is for the refund's timeline."""

    code: str


@dataclass(frozen=True, slots=True)
class ApprovalService:
    """Where it is, and as whom we ask. No answer is waited for longer than *timeout_s*."""

    url: str
    token: Secret
    timeout_s: float = TIMEOUT_S

    @classmethod
    def of(cls, settings: Settings) -> ApprovalService | None:
        """Return the service that the settings name, if they name one."""
        url = settings.risk_aware_approvals_url
        return cls(url.rstrip("/"), settings.approvals_service_token) if url else None

    async def ask(self, request: dict[str, Any], *, key: str) -> Asked | Trouble:
        """Ask for an approval; repeated under the same *key*, it is the same one."""
        return await self._said(
            Asked, "/api/approvals", msgspec.json.encode(request), {"Idempotency-Key": key}
        )

    async def look(self, approval_id: str) -> Seen | Trouble:
        return await self._said(Seen, f"/api/approvals/{quote(approval_id, safe='')}")

    async def _said(
        self,
        shape: type[SaidT],
        path: str,
        body: bytes | None = None,
        more: dict[str, str] | None = None,
    ) -> SaidT | Trouble:
        """Send a request. No transaction is open."""
        headers = {
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {self.token.reveal()}",
            "Content-Type": "application/json",
            **(more or {}),
        }
        try:
            # The operator chose the address; it is mostly in our own network.
            async with Egress(allow_private=True, timeout_s=self.timeout_s) as egress:
                url, most = self.url + path, ANSWER_BYTES_MAX
                if body is None:
                    answer = await egress.get(url, headers=headers, bytes_max=most)
                else:
                    answer = await egress.post(url, body=body, headers=headers, bytes_max=most)
        except (Outage, Refusal) as error:
            log.warning("refunds.approval_service.unreachable", reason=repr(error))
            return Trouble(UNREACHABLE)
        return _read(answer, shape)


def _read(answer: Answer, shape: type[SaidT]) -> SaidT | Trouble:
    if answer.status >= _SERVER_ERROR or answer.status in _LATER:
        log.warning("refunds.approval_service.unreachable", status=answer.status)
        return Trouble(UNREACHABLE)
    if answer.status not in _TAKEN:
        log.error("refunds.approval_service.refused", status=answer.status)
        return Trouble(REFUSED)
    try:
        return msgspec.convert(canonical.parse(answer.body), shape)
    except (canonical.JsonMalformed, msgspec.ValidationError) as error:
        log.warning("refunds.approval_service.garbled", reason=str(error)[:200])
        return Trouble(GARBLED)
