"""Who works at a merchant, and the one rule that keeps it from being locked out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.platform.web.wire import Identifier

ADMIN = "merchant_admin"
MEMBERS_MAX = 200

Role = Literal["merchant_admin", "merchant_accountant", "merchant_support"]
# Not all that a mail server takes, but all that anybody has.
Email = Annotated[
    str, Meta(pattern=r"^[^\s@<>\"',;:\\]{1,64}@[A-Za-z0-9.-]{1,180}\Z", max_length=246)
]
Name = Annotated[str, Meta(min_length=1, max_length=120)]


class MemberAbsent(Refusal):
    code = "member-absent"
    kind = Kind.ABSENT
    title = "No such person in this team"


class LastAdmin(Refusal):
    code = "last-admin"
    kind = Kind.BROKEN_RULE
    title = "A merchant needs an administrator"


class MemberRefused(Refusal):
    code = "member-refused"
    kind = Kind.BROKEN_RULE
    title = "This person cannot be added"


class TeamFull(Refusal):
    code = "team-full"
    kind = Kind.BROKEN_RULE
    title = "The team is as large as it may be"


class NewMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody to add: by their address, or by the id of somebody known already."""

    role: Role
    email: Email | None = None
    person_id: Identifier | None = None
    name: Name | None = None
    locale: Literal["fr", "en"] = "fr"


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that somebody is to be here; what is not named is taken away."""

    roles: Annotated[list[Role], Meta(min_length=1, max_length=3)]


@dataclass(frozen=True, slots=True)
class Grant:
    role: str
    since: Instant
    granted_by: str


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with roles at one merchant; *is_active* unless they have left altogether."""

    person_id: str
    name: str
    email: str
    locale: str
    is_active: bool
    grants: tuple[Grant, ...]

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(each.role for each in self.grants)


def member_of(team: Sequence[Member], person_id: str) -> Member:
    """
    Raises:
        MemberAbsent: nobody of that id works here.
    """
    for each in team:
        if each.person_id == person_id:
            return each
    raise MemberAbsent("Read the team again; somebody may have removed them.")


def admins(team: Sequence[Member]) -> frozenset[str]:
    """Name who can administer the merchant today."""
    return frozenset(each.person_id for each in team if each.is_active and ADMIN in each.roles)


def check_admin_stays(team: Sequence[Member], person_id: str, roles: frozenset[str]) -> None:
    """
    See that somebody administers the merchant once *person_id* has *roles*.

    Raises:
        LastAdmin: nobody would.
    """
    others = admins(team) - {person_id}
    if not others and ADMIN not in roles:
        raise LastAdmin("Make somebody else an administrator first.")
