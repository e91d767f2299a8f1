"""The statements about passkeys, and the challenges that are answered with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.approvals.store import Told
from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PasskeyRow:
    credential_id: bytes
    label: str
    created_at: datetime
    last_used_at: datetime | None


LIST_PASSKEYS = Query(
    """
    /* approvals.list_passkeys */
    select credential_id, label, created_at, last_used_at
      from approvals.passkeys
     where person_id = :person
     order by created_at, credential_id
     limit :limit
    """,
    row=PasskeyRow,
)


@dataclass(frozen=True, slots=True)
class KeyRow:
    public_key: bytes
    sign_count: int


FIND_PASSKEY = Query(
    """
    /* approvals.find_passkey */
    select public_key, sign_count
      from approvals.passkeys
     where credential_id = :credential_id
       and person_id = :person
    """,
    row=KeyRow,
)

LOCK_PERSON = Query(
    """
    /* approvals.lock_passkeys_of */
    select pg_advisory_xact_lock(hashtext('approvals.passkeys'), hashtext(:person)) is not null
           as done
    """,
    row=Told,
)

INSERT_PASSKEY = Query(
    """
    /* approvals.insert_passkey */
    insert into approvals.passkeys (
        credential_id, person_id, public_key, sign_count, label, created_at)
    values (:credential_id, :person, :public_key, :sign_count, :label, clock_timestamp())
    on conflict do nothing
    returning credential_id, label, created_at, last_used_at
    """,
    row=PasskeyRow,
)

# The count as it was read: of two answers that bring the same next count, one is a copy.
SET_USED = Query(
    """
    /* approvals.set_passkey_used */
    update approvals.passkeys
       set sign_count = :new_count,
           last_used_at = clock_timestamp()
     where credential_id = :credential_id
       and person_id = :person
       and sign_count = :old_count
    """,
    row=Nothing,
)

DELETE_PASSKEY = Query(
    """
    /* approvals.delete_passkey */
    delete from approvals.passkeys
     where credential_id = :credential_id
       and person_id = :person
    returning credential_id, label, created_at, last_used_at
    """,
    row=PasskeyRow,
)

# Sweeps up what was never answered: everybody's that is over, and the person's oldest.
PUT_CHALLENGE = Query(
    """
    /* approvals.put_passkey_challenge */
    with swept as (
        delete from approvals.passkey_challenges
         where expires_at <= clock_timestamp()
            or id in (select id
                        from approvals.passkey_challenges
                       where person_id = :person
                       order by expires_at desc
                      offset :kept)
    )
    insert into approvals.passkey_challenges (id, person_id, challenge, binding, expires_at)
    values (gen_random_uuid(), :person, :challenge, :binding,
            clock_timestamp() + make_interval(secs => :lasts_s::float8))
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class ChallengeRow:
    binding: dict[str, Any]
    is_fresh: bool
    now: datetime


TAKE_CHALLENGE = Query(
    """
    /* approvals.take_passkey_challenge */
    delete from approvals.passkey_challenges
     where challenge = :challenge
       and person_id = :person
    returning binding, expires_at > clock_timestamp() as is_fresh, clock_timestamp() as now
    """,
    row=ChallengeRow,
)
