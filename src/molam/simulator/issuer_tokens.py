"""The claims of the development issuer's tokens (RFC 9068), and tokens for curl."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from molam.kernel.clock import Instant, SystemClock
from molam.platform.auth.tokens import AAL1, AAL2
from molam.platform.db import ProcessRole, open_database
from molam.platform.settings import Settings, SettingsRefused
from molam.simulator import issuer_store
from molam.simulator.issuer_grants import SignedIn
from molam.simulator.issuer_keys import load_keys
from molam.simulator.issuer_store import Holder

ACCESS_TOKEN_S = 300
_DEVELOPMENT_TOKEN = timedelta(hours=12)

SERVICE_ROLE = "service"
SERVICE_SUBJECT = "service:wallet"


def refuse_production(settings: Settings) -> None:
    """
    Make sure that nobody can sign in to production with a published password.

    Raises:
        SettingsRefused: MOLAM_ENV is production.
    """
    if settings.is_production:
        raise SettingsRefused(
            "the development issuer does not run when MOLAM_ENV=production; "
            "set JWT_ISSUER and JWT_PUBLIC_KEY_URL to your own"
        )


def access_claims(
    settings: Settings, holder: Holder, signed_in: SignedIn, *, client_id: str, now: Instant
) -> dict[str, Any]:
    issued = int(now.timestamp())
    return {
        "iss": settings.issuer,
        "sub": holder.id,
        "aud": settings.jwt_audience,
        "client_id": client_id,
        "iat": issued,
        "exp": issued + ACCESS_TOKEN_S,
        "jti": secrets.token_hex(12),
        "auth_time": int(signed_in.auth_time.timestamp()),
        "acr": signed_in.acr,
        "amr": list(signed_in.amr),
        "roles": holder.roles,
        "name": holder.name,
        "email": holder.email,
        "lang": holder.locale,
        **({"merchant_id": holder.merchant_id} if holder.merchant_id else {}),
        **({"country": holder.country} if holder.country else {}),
        **({"currency": holder.currency} if holder.currency else {}),
    }


def id_claims(
    settings: Settings,
    holder: Holder,
    signed_in: SignedIn,
    *,
    client_id: str,
    nonce: str,
    now: Instant,
) -> dict[str, Any]:
    issued = int(now.timestamp())
    return {
        "iss": settings.issuer,
        "sub": holder.id,
        "aud": client_id,
        "iat": issued,
        "exp": issued + ACCESS_TOKEN_S,
        "auth_time": int(signed_in.auth_time.timestamp()),
        "acr": signed_in.acr,
        "amr": list(signed_in.amr),
        "name": holder.name,
        **({"nonce": nonce} if nonce else {}),
    }


async def mint_development_token(
    settings: Settings,
    *,
    roles: Collection[str] = (),
    merchant_id: str | None = None,
    subject: str | None = None,
    aal2: bool = False,
) -> str:
    """
    Sign an access token of twelve hours, for curl and scripts.

    Without *subject* it is a demo person who holds all *roles* at *merchant_id*;
    the role ``service`` is held by ``service:wallet``. Without *roles* they are
    those the subject holds.

    Raises:
        SettingsRefused: production, or nobody fits.
        Outage: the database cannot be reached.
    """
    refuse_production(settings)
    now = SystemClock().now()
    holder = await _holder(settings, set(roles), merchant_id, subject)
    signed_in = SignedIn(holder.id, now)
    claims = access_claims(
        settings,
        holder,
        signed_in.stepped_up(now) if aal2 else signed_in,
        client_id=settings.molam_oidc_client_id,
        now=now,
    )
    assert claims["acr"] == (AAL2 if aal2 else AAL1)
    claims["exp"] = claims["iat"] + int(_DEVELOPMENT_TOKEN.total_seconds())
    return load_keys(settings.molam_home).sign(claims, type_="at+jwt")


async def _holder(
    settings: Settings, roles: set[str], merchant_id: str | None, subject: str | None
) -> Holder:
    if SERVICE_ROLE in roles:
        name = subject or SERVICE_SUBJECT
        return Holder(name, name, "", "en", merchant_id, None, None, None, sorted(roles))
    db = await open_database(
        settings.database_dsn, ProcessRole.WEB, application="molam token", connections_max=1
    )
    try:
        holders = await issuer_store.list_holders(db, merchant_id)
    finally:
        await db.close()
    for holder in holders:
        if subject in {None, holder.id} and roles <= set(holder.roles):
            wanted = sorted(roles) or holder.roles
            return Holder(
                holder.id,
                holder.name,
                holder.email,
                holder.locale,
                holder.merchant_id,
                holder.merchant_name,
                holder.country,
                holder.currency,
                wanted,
            )
    who = subject or "nobody"
    what = ", ".join(sorted(roles)) or "any role"
    where = merchant_id or "the platform"
    if subject is not None:
        raise SettingsRefused(f"{who} does not hold {what} at {where}, or the demo is not seeded")
    raise SettingsRefused(f"nobody holds {what} at {where}; is the demo seeded?")
