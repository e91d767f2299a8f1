"""Who is asking, and what one must be to ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from molam.kernel.refusals import Kind, Refusal


class Unauthenticated(Refusal):
    code = "unauthenticated"
    kind = Kind.UNAUTHENTICATED
    title = "Sign in, or send a bearer token"


class Forbidden(Refusal):
    code = "forbidden"
    kind = Kind.FORBIDDEN
    title = "Your role does not allow this"


class MerchantContextRequired(Refusal):
    code = "merchant-context-required"
    kind = Kind.FORBIDDEN
    title = "The token names no merchant"


@dataclass(frozen=True, slots=True)
class Permission:
    """What a route demands: one of *roles*. Each domain declares its own."""

    name: str
    roles: frozenset[str]


# These two are compared by identity, so that no role list can imitate them.
PUBLIC = Permission("public", frozenset())
SIGNED_IN = Permission("signed-in", frozenset())


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified person or service, as the token and the directory describe it now."""

    subject: str
    name: str
    merchant_id: str | None
    roles: frozenset[str]
    locale: str
    acr: str
    auth_time: datetime | None
    csrf: str | None
    """What forms must send back; only sessions have one."""
    via: Literal["bearer", "session", "none"]
    request_id: str
    ip: str
    user_agent: str

    @property
    def merchant(self) -> str:
        """
        The merchant this caller acts for.

        Raises:
            MerchantContextRequired: the token names none.
        """
        if self.merchant_id is None:
            raise MerchantContextRequired("Ask for a token with a merchant_id claim.")
        return self.merchant_id

    @property
    def is_anonymous(self) -> bool:
        return self.via == "none"


def authorise(caller: Caller, needs: Permission) -> None:
    """
    Let *caller* pass if *needs* allows it.

    Raises:
        Unauthenticated: nobody signed in.
        Forbidden: none of the caller's roles is listed.
    """
    if needs is PUBLIC:
        return
    if caller.is_anonymous:
        raise Unauthenticated("This address is for people and services that are signed in.")
    if needs is SIGNED_IN or caller.roles & needs.roles:
        return
    required = ", ".join(sorted(needs.roles))
    raise Forbidden(f"This takes one of these roles: {required}.", required_roles=required)
