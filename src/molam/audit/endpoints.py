"""The latest checkpoint, and proofs against it, for whoever may read the record."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from molam.audit import queries
from molam.platform.web import Caller, Permission, Routes

READ_AUDIT = Permission(
    "ops.read_audit",
    frozenset(
        {"ops_admin", "auditor", "compliance", "cfo", "finance_ops", "pay_admin", "super_admin"}
    ),
)

routes = Routes()


class CheckpointQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*old*: the size of a checkpoint somebody holds, to be proved consistent."""

    old: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)] | None = None


class SizeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*size*: which checkpoint, by its size. By default the latest."""

    size: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)] | None = None


class CheckpointView(msgspec.Struct, omit_defaults=True):
    ok: bool
    size: int
    root: str
    signed_at: datetime
    key_id: str
    note: str
    keys: list[str]
    consistency: list[str] | None = None
    """From *old* to *size* (RFC 9162, section 2.1.4), in hexadecimal digits."""


class ProofQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    action: UUID


class EntryView(msgspec.Struct):
    position: int
    body: str
    prev: str
    path: list[str]


class ProofView(msgspec.Struct):
    ok: bool
    size: int
    note: str
    entries: list[EntryView]


@routes.get(
    "/api/ops/audit/checkpoint",
    needs=READ_AUDIT,
    query=CheckpointQuery,
    answers=CheckpointView,
    refuses=(queries.NothingSealed, queries.CheckpointAhead),
)
async def checkpoint(request: Request, _caller: Caller, query: CheckpointQuery) -> CheckpointView:
    """Answer the latest signed checkpoint, and on request that it only added to an older one."""
    latest, keys = await queries.latest_checkpoint(request.app.state.db)
    proof = None
    if query.old is not None:
        latest, hashes = await queries.prove_consistent(request.app.state.db, old=query.old)
        proof = [each.hex() for each in hashes]
    return CheckpointView(
        ok=True,
        size=latest.size,
        root=latest.root.hex(),
        signed_at=latest.signed_at,
        key_id=latest.key_id,
        note=latest.note,
        keys=keys,
        consistency=proof,
    )


@routes.get(
    "/api/ops/audit/proof",
    needs=READ_AUDIT,
    query=ProofQuery,
    answers=ProofView,
    refuses=(queries.NothingSealed,),
)
async def proof(request: Request, _caller: Caller, query: ProofQuery) -> ProofView:
    """Answer an action's sealed entries, each with the path that proves it is in the tree."""
    latest, included = await queries.prove_included(request.app.state.db, action_id=query.action)
    return ProofView(
        ok=True,
        size=latest.size,
        note=latest.note,
        entries=[
            EntryView(
                position=each.entry.position,
                body=each.entry.body,
                prev=each.entry.prev.hex(),
                path=[step.hex() for step in each.proof],
            )
            for each in included
        ],
    )


@routes.get(
    "/api/ops/audit/checkpoint.txt",
    needs=READ_AUDIT,
    query=SizeQuery,
    refuses=(queries.NothingSealed,),
)
async def checkpoint_note(request: Request, _caller: Caller, query: SizeQuery) -> Response:
    """Answer a checkpoint as the signed note that `molam audit verify` reads."""
    found = await queries.checkpoint_of(request.app.state.db, size=query.size)
    return PlainTextResponse(found.note)


@routes.get("/api/ops/audit/keys.txt", needs=READ_AUDIT, refuses=(queries.NothingSealed,))
async def public_keys(request: Request, _caller: Caller) -> Response:
    """Answer every public key that ever signed a checkpoint, one a line."""
    _, keys = await queries.latest_checkpoint(request.app.state.db)
    return PlainTextResponse("".join(f"{key}\n" for key in keys))


@routes.get(
    "/api/ops/audit/export",
    needs=READ_AUDIT,
    query=SizeQuery,
    refuses=(queries.NothingSealed,),
)
async def export(request: Request, _caller: Caller, query: SizeQuery) -> Response:
    """Answer every entry under a checkpoint, one line of JSON each."""
    found = await queries.checkpoint_of(request.app.state.db, size=query.size)
    return StreamingResponse(
        queries.export(request.app.state.db, found),
        media_type="application/jsonl",
        headers={"Content-Disposition": 'attachment; filename="export.jsonl"'},
    )
