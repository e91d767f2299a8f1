"""The approval engine over HTTP, with the functions of `engine.Engine`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import httpx2

from molam.kernel import canonical
from molam.kernel.refusals import Kind, Outage, Refusal
from molam.platform.db.transaction import assert_no_transaction

Document = dict[str, Any]

_KINDS = {
    HTTPStatus.BAD_REQUEST: Kind.MALFORMED,
    HTTPStatus.UNAUTHORIZED: Kind.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: Kind.FORBIDDEN,
    HTTPStatus.NOT_FOUND: Kind.ABSENT,
    HTTPStatus.CONFLICT: Kind.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Kind.TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY: Kind.BROKEN_RULE,
    HTTPStatus.TOO_MANY_REQUESTS: Kind.TOO_MANY,
}


class EngineRefused(Refusal):
    """The engine's no, with the code it gave."""

    code = "engine-refused"
    kind = Kind.BROKEN_RULE
    title = "The approval engine refused"

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "It gave no reason."))
        # One class stands for every refusal of the other side.
        self.code = str(problem.get("code", "engine-refused"))  # type: ignore[misc]
        self.title = str(problem.get("title", self.title))  # type: ignore[misc]
        self.kind = _KINDS.get(HTTPStatus(status), Kind.BROKEN_RULE)  # type: ignore[misc]
        self.problem = problem


class Client:
    """
    The engine behind *url*, for services that do not run it themselves.

    *token_of* gives the bearer token of whoever acts; the engine believes the token,
    and nothing else. Votes always carry the hashes of what the engine shows the voter.
    """

    def __init__(
        self,
        url: str,
        *,
        http: httpx2.AsyncClient,
        token_of: Callable[[str], Awaitable[str]],
        reader: str,
    ) -> None:
        self._url = url.rstrip("/") + "/api/ops"
        self._http = http
        self._token_of = token_of
        self._reader = reader

    async def create_ops_action(self, **fields: object) -> Document:
        """
        Ask for an action as the service or person ``created_by``.

        Raises:
            EngineRefused: with the engine's code.
            Outage: it does not answer; the same call with the same key is safe to repeat.
        """
        created_by = str(fields.pop("created_by", self._reader))
        key = fields.get("idempotency_key")
        headers = {"Idempotency-Key": str(key)} if key else {}
        answer = await self._send(
            "POST", "/actions", actor=created_by, body=fields, headers=headers
        )
        return _object(answer, "action")

    async def vote_on_action(
        self,
        action_id: str,
        voter_id: str,
        voter_roles: Sequence[str],
        vote: str,
        comment: str | None = None,
    ) -> Document:
        """
        Vote as *voter_id*. *voter_roles* is not sent: the directory decides.

        Raises: as `create_ops_action`.
        """
        del voter_roles
        view = _object(
            await self._send("GET", f"/actions/{action_id}/view", actor=voter_id), "view"
        )
        body = {
            "vote": vote,
            "intent_hash": view["intent_hash"],
            "view_hash": view["view_hash"],
            **({"comment": comment} if comment is not None else {}),
        }
        answer = await self._send("POST", f"/actions/{action_id}/vote", actor=voter_id, body=body)
        return {"approval": answer["approval"], "action": answer["action"]}

    async def get_action_with_votes(self, action_id: str) -> Document:
        return _object(await self._send("GET", f"/actions/{action_id}"), "action")

    async def get_pending_actions(
        self, roles: Sequence[str], limit: int = 50, offset: int = 0
    ) -> list[Document]:
        """List open actions that the reader's roles decide; *roles* is not sent."""
        del roles
        path = f"/actions?limit={limit}&offset={offset}"
        return _list(await self._send("GET", path), "actions")

    async def execute_action(self, action_id: str, executor_id: str) -> Document:
        """
        Carry out an approved action as *executor_id*; a failure is an answer.

        Raises: as `create_ops_action`.
        """
        return await self._send("POST", f"/actions/{action_id}/execute", actor=executor_id)

    async def get_audit_trail(self, action_id: str) -> list[Document]:
        return _list(await self._send("GET", f"/actions/{action_id}/audit"), "audit")

    async def get_user_action_history(
        self, user_id: str, limit: int = 50, offset: int = 0
    ) -> list[Document]:
        path = f"/users/{user_id}/actions?limit={limit}&offset={offset}"
        return _list(await self._send("GET", path), "actions")

    async def get_user_vote_history(
        self, user_id: str, limit: int = 50, offset: int = 0
    ) -> list[Document]:
        path = f"/users/{user_id}/votes?limit={limit}&offset={offset}"
        return _list(await self._send("GET", path), "votes")

    async def get_approval_stats(self) -> list[Document]:
        return _list(await self._send("GET", "/stats"), "stats")

    async def get_pending_summary(self) -> list[Document]:
        return _list(await self._send("GET", "/pending-summary"), "summary")

    async def create_approval_policy(self, **fields: object) -> Document:
        """
        Add a policy as ``created_by``.

        Raises: as `create_ops_action`.
        """
        created_by = str(fields.pop("created_by", self._reader))
        answer = await self._send("POST", "/policies", actor=created_by, body=fields)
        return _object(answer, "policy")

    async def get_dashboard_ops_data(
        self, user_roles: Sequence[str], user_id: str = ""
    ) -> Document:
        return {
            "pending_actions": await self.get_pending_actions(user_roles, 10, 0),
            "user_votes": await self.get_user_vote_history(user_id or self._reader, 5, 0),
            "stats": await self.get_approval_stats(),
        }

    async def _send(
        self,
        method: str,
        path: str,
        *,
        actor: str | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Document:
        assert_no_transaction("a call of the approval engine")
        token = await self._token_of(actor or self._reader)
        try:
            answer = await self._http.request(
                method,
                f"{self._url}{path}",
                json=body,
                headers={"Authorization": f"Bearer {token}", **(headers or {})},
            )
        except httpx2.TransportError as error:
            raise Outage("approval engine") from error
        return _read(answer)


def _read(answer: httpx2.Response) -> Document:
    """Return a document of the engine's, or raise what it refused with."""
    try:
        document = canonical.parse(answer.content)
    except canonical.JsonMalformed as error:
        raise Outage("approval engine") from error
    if not isinstance(document, dict):
        raise Outage("approval engine")
    # A failed execution is an answer, whatever its status; it says so itself.
    if "success" in document:
        return document
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Outage("approval engine")
    raise EngineRefused(document, answer.status_code)


def _object(document: Document, key: str) -> Document:
    found = document.get(key)
    if not isinstance(found, dict):
        raise Outage("approval engine")
    return found


def _list(document: Document, key: str) -> list[Document]:
    found = document.get(key)
    if not isinstance(found, list):
        raise Outage("approval engine")
    return found
