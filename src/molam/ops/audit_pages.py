"""The record of decisions, as people look at it; proving it takes none of us."""

from __future__ import annotations

from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.audit import queries as audit
from molam.audit.endpoints import READ_AUDIT
from molam.audit.store import Checkpoint
from molam.ops import permissions
from molam.ops import statistics_store as store
from molam.ops.shell import framed, may
from molam.platform.db import Database
from molam.platform.web import Caller, Routes

routes = Routes()

ENTRIES_SHOWN = 100
TERM_LENGTH_MAX = 100
API = "/api/ops/audit"
FILES = "--checkpoint checkpoint.txt --pubkey keys.txt"


class AuditQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    action: UUID | None = None
    q: str = ""


@routes.get("/ops/audit", needs=permissions.USE_CONSOLE, page=True, query=AuditQuery)
async def record(request: Request, caller: Caller, query: AuditQuery) -> Response:
    """Show the latest checkpoint and entries, or those of one action or person."""
    db, term = request.app.state.db, query.q.strip()[:TERM_LENGTH_MAX]
    asked = _as_id(term)
    if asked is not None:
        return RedirectResponse(f"/ops/audit?action={asked}", status_code=303)
    checkpoint = await latest(db)
    command = f"molam audit verify --export export.jsonl {FILES}"
    if query.action is not None:
        command = f"molam audit explain --action {query.action} --export export.jsonl {FILES}"
    return await framed(
        request,
        caller,
        "audit.html",
        place="audit",
        checkpoint=checkpoint,
        root="" if checkpoint is None else checkpoint.root.hex(),
        action_id=query.action,
        q=term,
        entries=await _entries(db, query.action, term),
        command=command,
        may_download=may(caller, READ_AUDIT),
        paths=_paths(checkpoint, query.action),
    )


def _paths(checkpoint: Checkpoint | None, action_id: UUID | None) -> dict[str, str]:
    """Where the files are, all of the checkpoint that the page shows."""
    size = "" if checkpoint is None else f"?size={checkpoint.size}"
    return {
        "export": f"{API}/export{size}",
        "checkpoint": f"{API}/checkpoint.txt{size}",
        "keys": f"{API}/keys.txt",
        "proof": f"{API}/proof?action={action_id}",
    }


async def latest(db: Database) -> Checkpoint | None:
    try:
        checkpoint, _ = await audit.latest_checkpoint(db)
    except audit.NothingSealed:
        return None
    return checkpoint


async def _entries(db: Database, action_id: UUID | None, term: str) -> list[store.AuditRow]:
    if action_id is not None:
        return await db.read(store.ENTRIES_OF_ACTION, action_id=action_id, limit=ENTRIES_SHOWN)
    if term:
        like = term.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return await db.read(
            store.ENTRIES_OF_ACTOR, actor=term.lower(), pattern=f"%{like}%", limit=ENTRIES_SHOWN
        )
    return await db.read(store.LATEST_ENTRIES, limit=ENTRIES_SHOWN)


def _as_id(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None
