"""Changing who works at a merchant."""

from __future__ import annotations

from itertools import groupby

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.merchant import settings_store, trail
from molam.merchant import team_model as model
from molam.merchant import team_store as store
from molam.merchant.account_notices import Changed, tell_admins
from molam.merchant.team_model import Member, NewMember
from molam.platform.db import Tx
from molam.platform.web import Caller
from molam.platform.web.caller import Forbidden
from molam.tenancy import commands as tenancy
from molam.tenancy import queries as people
from molam.tenancy import standing
from molam.tenancy.store import GrantRow, PersonRow


async def team_of(tx: Tx, merchant_id: str) -> list[Member]:
    """List everybody with a role at the merchant, by name."""
    rows = await tx.all(store.LIST_TEAM, merchant_id=merchant_id)
    return [
        Member(
            person_id=first.person_id,
            name=first.name,
            email=first.email,
            locale=first.locale,
            is_active=first.is_active,
            grants=tuple(
                model.Grant(each.role, each.granted_at, each.granted_by_name or each.granted_by)
                for each in (first, *others)
            ),
        )
        for _, (first, *others) in (
            (key, list(rows)) for key, rows in groupby(rows, lambda each: each.person_id)
        )
    ]


async def add(tx: Tx, caller: Caller, asked: NewMember, *, now: Instant) -> Member:
    """
    Give somebody a role here, registering whom the directory does not know yet.

    Raises:
        MerchantFrozen: nothing can be changed now.
        MemberRefused, TeamFull: they cannot be added.
    """
    team = await _locked(tx, caller, now=now)
    person_id = await _found_or_registered(tx, asked, now=now)
    known = next((each for each in team if each.person_id == person_id), None)
    if known is None and len(team) >= model.MEMBERS_MAX:
        raise model.TeamFull(f"A team has at most {model.MEMBERS_MAX} people.")
    before = sorted(known.roles) if known else []
    if asked.role not in before:
        await _grant(tx, caller, person_id, asked.role, now=now)
        roles = (before, [*before, asked.role])
        await _record(tx, caller, "team_member_added", person_id, roles=roles)
    after = model.member_of(await team_of(tx, caller.merchant), person_id)
    if asked.role == model.ADMIN and asked.role not in before:
        await _tell_admins(tx, caller, after, now=now)
    return after


async def set_roles(
    tx: Tx, caller: Caller, person_id: str, roles: frozenset[str], *, now: Instant
) -> Member | None:
    """
    Let somebody be here exactly *roles*; with none, they leave the team.

    Raises:
        MerchantFrozen: nothing can be changed now.
        MemberAbsent: nobody of that id works here.
        LastAdmin: nobody could administer the merchant any more.
    """
    team = await _locked(tx, caller, now=now)
    member = model.member_of(team, person_id)
    model.check_admin_stays(team, person_id, roles)
    before = member.roles
    if roles == before:
        return member
    for role in sorted(roles - before):
        await _grant(tx, caller, person_id, role, now=now)
    for role in sorted(before - roles):
        await tenancy.revoke_role(tx, person_id=person_id, role=role, merchant_id=caller.merchant)
    action = "team_roles_changed" if roles else "team_member_removed"
    await _record(tx, caller, action, person_id, roles=(sorted(before), sorted(roles)))
    if not roles:
        return None
    after = model.member_of(await team_of(tx, caller.merchant), person_id)
    if model.ADMIN in roles - before:
        await _tell_admins(tx, caller, after, now=now)
    return after


async def _locked(tx: Tx, caller: Caller, *, now: Instant) -> list[Member]:
    """
    Read the team as nobody else can change it meanwhile.

    Raises:
        MerchantFrozen: nothing can be changed now.
        Forbidden: the caller may not any more.
    """
    await standing.ensure_may_change(tx, caller.merchant, now=now)
    await tx.one(settings_store.LOCK, merchant_id=caller.merchant)
    team = await team_of(tx, caller.merchant)
    # Whoever waited for the lock may have lost the role meanwhile. A subject that the
    # directory does not know was let in by its token alone, as everywhere.
    still_admin = caller.subject in model.admins(team)
    if not still_admin and await people.find_person(tx, caller.subject) is not None:
        raise Forbidden("You are no longer an administrator here.", required_roles=model.ADMIN)
    return team


async def _found_or_registered(tx: Tx, asked: NewMember, *, now: Instant) -> str:
    if asked.email is None and asked.person_id is None:
        raise model.MemberRefused("Give their e-mail address, or their id.")
    found = await tx.all(store.FIND_PERSON, person_id=asked.person_id, email=asked.email)
    if asked.person_id is not None:
        found = [each for each in found if each.id == asked.person_id]
    if len(found) > 1:
        raise model.MemberRefused("Several people have this address: give an id.")
    if found:
        if not found[0].may_join:
            raise model.MemberRefused("Ask support about this person.")
        return found[0].id
    if asked.person_id is not None or asked.email is None or asked.name is None:
        raise model.MemberRefused("Somebody new needs a name and an e-mail address, and no id.")
    # Never an id of the merchant's choosing: it might be one that somebody else is to have.
    person_id = f"p_{uuid7(now).hex}"
    await tenancy.register_person(
        tx, PersonRow(person_id, asked.name.strip(), asked.email, asked.locale)
    )
    return person_id


async def _grant(tx: Tx, caller: Caller, person_id: str, role: str, *, now: Instant) -> None:
    await tenancy.grant_role(
        tx,
        GrantRow(uuid7(now), person_id, role, caller.merchant, now),
        granted_by=caller.subject,
    )


async def _record(
    tx: Tx, caller: Caller, action: str, person_id: str, *, roles: tuple[list[str], list[str]]
) -> None:
    await trail.record(
        tx,
        caller,
        action_type=action,
        resource_type="person",
        resource_id=person_id,
        before={"roles": roles[0]},
        after={"roles": roles[1]},
        requires_2fa=True,
    )


async def _tell_admins(tx: Tx, caller: Caller, member: Member, *, now: Instant) -> None:
    """Let every administrator see that there is one more of them."""
    changed = Changed(
        alert_type="admin_added",
        alert_title="There is a new administrator",
        description=f"{caller.name} made {member.name} an administrator.",
        facts={
            "rule": "team",
            "by": caller.name,
            "person": member.name,
            "person_id": member.person_id,
        },
        title={"fr": "un administrateur a été ajouté", "en": "an administrator was added"},
        link="/settings/team",
    )
    await tell_admins(tx, caller, await team_of(tx, caller.merchant), changed, now=now)
