"""Browser sessions, kept in the database under the hash of a cookie."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

import msgspec

from molam.platform.auth.tokens import Identity
from molam.platform.db import Database, Query, Tx
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class SessionRow:
    subject: str
    claims: object
    csrf: str
    must_touch: bool


@dataclass(frozen=True, slots=True)
class SignInRow:
    verifier: str
    nonce: str
    next_path: str
    browser_hash: bytes


@dataclass(frozen=True, slots=True)
class OpenSessionRow:
    """A browser somebody is signed in with; *is_this* is the one that asks."""

    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    ip: str | None
    user_agent: str | None
    acr: str | None
    is_this: bool


# Deadlines are compared by PostgreSQL's clock: processes may disagree on the time.
_FIND_SESSION = Query(
    """
    /* platform.find_session */
    select subject,
           claims,
           csrf,
           seen_at < now() - interval '1 minute' as must_touch
      from platform.sessions
     where id_hash = :id_hash
       and app = :app
       and expires_at > now()
       and seen_at > now() - interval '30 minutes'
    """,
    row=SessionRow,
)

_TOUCH_SESSION = Query(
    """
    /* platform.touch_session */
    update platform.sessions
       set seen_at = now()
     where id_hash = :id_hash
    """,
    row=Nothing,
)

_ADD_SESSION = Query(
    """
    /* platform.add_session */
    insert into platform.sessions (id_hash, app, subject, claims, csrf, ip, user_agent, expires_at)
    values (:id_hash, :app, :subject, :claims, :csrf, :ip::text, :user_agent::text,
            now() + interval '8 hours')
    """,
    row=Nothing,
)

_REMOVE_SESSION = Query(
    """
    /* platform.remove_session */
    delete from platform.sessions
     where id_hash = :id_hash
       and app = :app
    """,
    row=Nothing,
)

_REMOVE_SESSIONS_OF = Query(
    """
    /* platform.remove_sessions_of */
    delete from platform.sessions
     where subject = :subject
       and app = :app
    """,
    row=Nothing,
)

_REMOVE_OTHER_SESSIONS = Query(
    """
    /* platform.remove_other_sessions */
    delete from platform.sessions
     where subject = :subject
       and app = :app
       and csrf is distinct from :csrf::text
    """,
    row=Nothing,
)

_LIST_SESSIONS = Query(
    """
    /* platform.list_sessions */
    select created_at, seen_at, expires_at, ip, user_agent, claims ->> 'acr' as acr,
           csrf is not distinct from :csrf::text as is_this
      from platform.sessions
     where subject = :subject
       and app = :app
       and expires_at > now()
       and seen_at > now() - interval '30 minutes'
     order by is_this desc, seen_at desc
     limit 50
    """,
    row=OpenSessionRow,
)

_ADD_SIGN_IN = Query(
    """
    /* platform.add_sign_in */
    insert into platform.sign_ins (state, app, verifier, nonce, next_path, browser_hash)
    values (:state, :app, :verifier, :nonce, :next_path, :browser_hash)
    """,
    row=Nothing,
)

_REMOVE_OLD_SIGN_INS = Query(
    """
    /* platform.remove_old_sign_ins */
    delete from platform.sign_ins
     where created_at < now() - interval '10 minutes'
    """,
    row=Nothing,
)

# Deleting is claiming: of two callbacks with one state, one gets the row.
_TAKE_SIGN_IN = Query(
    """
    /* platform.take_sign_in */
    delete from platform.sign_ins
     where state = :state
       and app = :app
       and created_at > now() - interval '10 minutes'
    returning verifier, nonce, next_path, browser_hash
    """,
    row=SignInRow,
)


@dataclass(frozen=True, slots=True)
class Session:
    identity: Identity
    csrf: str


def hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


async def find_session(db: Database, *, app: str, cookie: str) -> Session | None:
    """Find the live session of *cookie* and note that it was used."""
    id_hash = hashed(cookie)
    rows = await db.read(_FIND_SESSION, id_hash=id_hash, app=app)
    if not rows:
        return None
    row = rows[0]
    if row.must_touch:
        async with db.transaction("platform.touch_session") as tx:
            await tx.run(_TOUCH_SESSION, id_hash=id_hash)
    return Session(msgspec.convert(row.claims, Identity), row.csrf)


async def start_session(
    db: Database,
    *,
    app: str,
    identity: Identity,
    replaces: str | None,
    begun_at: tuple[str, str] | None = None,
) -> str:
    """
    Begin a session and return its cookie.

    The id is always a new one, and the browser's earlier session ends, so an id
    planted before signing in is worth nothing afterwards. *begun_at* is the address
    and the browser it is begun from, for its owner to recognise.
    """
    ip, user_agent = begun_at or (None, None)
    cookie = secrets.token_urlsafe(32)
    async with db.transaction("platform.start_session") as tx:
        if replaces:
            await tx.run(_REMOVE_SESSION, id_hash=hashed(replaces), app=app)
        await tx.run(
            _ADD_SESSION,
            id_hash=hashed(cookie),
            app=app,
            subject=identity.sub,
            claims=msgspec.to_builtins(identity),
            csrf=secrets.token_urlsafe(32),
            ip=ip,
            user_agent=user_agent,
        )
    return cookie


async def end_session(db: Database, *, app: str, cookie: str) -> None:
    async with db.transaction("platform.end_session") as tx:
        await tx.run(_REMOVE_SESSION, id_hash=hashed(cookie), app=app)


async def end_sessions_of(db: Database, *, app: str, subject: str) -> int:
    """Sign *subject* out everywhere and return how many sessions ended."""
    async with db.transaction("platform.end_sessions_of") as tx:
        return await tx.run(_REMOVE_SESSIONS_OF, subject=subject, app=app)


async def open_sessions(
    db: Database, *, app: str, subject: str, csrf: str | None
) -> list[OpenSessionRow]:
    """List where *subject* is signed in; the session of *csrf* is the one that asks."""
    return await db.read(_LIST_SESSIONS, app=app, subject=subject, csrf=csrf)


async def end_other_sessions(tx: Tx, *, app: str, subject: str, csrf: str | None) -> int:
    """Sign *subject* out everywhere but in the session of *csrf*; return how many ended."""
    return await tx.run(_REMOVE_OTHER_SESSIONS, app=app, subject=subject, csrf=csrf)


async def add_sign_in(db: Database, *, app: str, state: str, row: SignInRow) -> None:
    async with db.transaction("platform.add_sign_in") as tx:
        await tx.run(_REMOVE_OLD_SIGN_INS)
        await tx.run(
            _ADD_SIGN_IN,
            state=state,
            app=app,
            verifier=row.verifier,
            nonce=row.nonce,
            next_path=row.next_path,
            browser_hash=row.browser_hash,
        )


async def take_sign_in(db: Database, *, app: str, state: str) -> SignInRow | None:
    """Return the sign-in begun with *state*, at most once."""
    async with db.transaction("platform.take_sign_in") as tx:
        return await tx.one(_TAKE_SIGN_IN, state=state, app=app)


_PURGE_SESSIONS = Query(
    """
    /* platform.purge_sessions */
    delete from platform.sessions where expires_at < now()
    """,
    row=Nothing,
)


async def purge(tx: Tx) -> None:
    """Forget sessions that ended."""
    await tx.run(_PURGE_SESSIONS)
