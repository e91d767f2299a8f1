"""Every statement about files that go to banks and come from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.payments.banks.attempt_store import AttemptRow, NumberRow
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class WaitingRow:
    currency: str
    account_reference: str


@dataclass(frozen=True, slots=True)
class FileRow:
    id: UUID
    bank_profile_id: str
    path: str
    message_id: str
    currency: str
    created_at: datetime


LIST_WAITING = Query(
    """
    /* banks.list_waiting */
    select a.currency, coalesce(min(t.account_reference), '') as account_reference
      from payments.bank_attempts as a
      left join payments.treasury_accounts as t
        on t.bank_profile_id = a.bank_profile_id and t.currency = a.currency and t.status = 'active'
     where a.bank_profile_id = :bank_profile_id
       and a.state = 'accepted' and a.file_id is null and a.code = 'waiting-for-file'
     group by a.currency
     order by a.currency
    """,
    row=WaitingRow,
)

APPEND_FILE = Query(
    """
    /* banks.append_file */
    insert into payments.bank_files (id, bank_profile_id, direction, path, message_id, currency, state, created_at)
    values (:id, :bank_profile_id, 'out', :path, :message_id, :currency, 'writing', :created_at)
    """,
    row=Nothing,
)

# Whoever came before the latest cut-off, which is a time of the bank's own day.
TAKE_FOR_FILE = Query(
    """
    /* banks.take_for_file */
    with bank as (
        select id, case when cut_off is null then now()
                        when ((now() at time zone timezone)::date + cut_off) at time zone timezone <= now()
                        then ((now() at time zone timezone)::date + cut_off) at time zone timezone
                        else ((now() at time zone timezone)::date - 1 + cut_off) at time zone timezone end as closed_at
          from payments.bank_profiles
         where id = :bank_profile_id
    ), taken as (
        select a.id
          from payments.bank_attempts as a
          join bank on bank.id = a.bank_profile_id
         where a.currency = :currency
           and a.state = 'accepted' and a.file_id is null and a.code = 'waiting-for-file'
           and a.created_at <= bank.closed_at
         order by a.created_at, a.id
         limit :limit
           for update of a skip locked
    ), filed as (
        update payments.bank_attempts as a
           set file_id = :file_id, code = 'in-file', reason = null, updated_at = now()
          from taken
         where a.id = taken.id
        returning a.id
    )
    select count(*)::int as number from filed
    """,
    row=NumberRow,
    locks=Rank.BANK_ATTEMPT,
)

LIST_UNWRITTEN = Query(
    """
    /* banks.list_unwritten */
    select id, bank_profile_id, path, message_id, currency, created_at
      from payments.bank_files
     where state = 'writing' and direction = 'out' and currency is not null
     order by created_at
     limit :limit
    """,
    row=FileRow,
)

LIST_FILED = Query(
    """
    /* banks.list_filed */
    select id, kind, object_id, merchant_id, attempt_no, bank_profile_id, outward_key, wire_key,
           amount, currency, destination, reference, state, provider_ref, code, reason,
           confirmed_by, contradiction, tokens, file_id, sends, inquiries, created_at, sent_at, updated_at
      from payments.bank_attempts
     where file_id = :file_id
     order by id
     limit :limit
    """,
    row=AttemptRow,
)

SET_WRITTEN = Query(
    """
    /* banks.set_written */
    update payments.bank_files
       set state = 'written', sha256 = :sha256, instructions = :instructions, done_at = now()
     where id = :id and state = 'writing'
    """,
    row=Nothing,
)

COUNT_READ = Query(
    """
    /* banks.count_read */
    select count(*)::int as number
      from payments.bank_files
     where path = :path
    """,
    row=NumberRow,
)

APPEND_READ = Query(
    """
    /* banks.append_read */
    insert into payments.bank_files
           (id, bank_profile_id, direction, path, message_id, state, sha256, instructions, reason, created_at, done_at)
    values (:id, :bank_profile_id, 'in', :path, :message_id, :state, :sha256, :instructions, :reason, :created_at, now())
        on conflict (path) do nothing
    """,
    row=Nothing,
)
