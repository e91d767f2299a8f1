"""Every statement about banks, their routes, circuits and callbacks."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class BankRow:
    id: str
    name: str
    country: str
    bic: str | None
    currency_codes: list[str]
    rails: list[str]
    provider_type: str
    status: str
    enabled: bool
    flat_fee: int
    percent_fee: Decimal
    avg_delay_sec: int
    connector: str
    endpoint_url: str
    cut_off: str | None
    timezone: str
    at_once_max: int
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RouteRow:
    bank_profile_id: str
    name: str
    connector: str
    flat_fee: int
    percent_fee: Decimal
    avg_delay_sec: int


@dataclass(frozen=True, slots=True)
class CallbackIdRow:
    id: int


@dataclass(frozen=True, slots=True)
class CallbackRow:
    id: int
    bank_profile_id: str
    is_signed: bool
    body: bytes
    state: str


@dataclass(frozen=True, slots=True)
class AdmissionRow:
    busy: int
    is_open: bool
    wait_s: float
    requests: int
    accepts: int


@dataclass(frozen=True, slots=True)
class BalanceRow:
    id: str
    bank_profile_id: str
    account_reference: str
    currency: str
    account_type: str
    ledger_account_code: str
    balance: int
    reserved: int


@dataclass(frozen=True, slots=True)
class BankNowRow:
    id: str
    name: str
    status: str
    enabled: bool
    circuit: str
    open_attempts: int
    unknown_attempts: int
    contradictions: int


FIND_BANK = Query(
    """
    /* banks.find_bank */
    select id, name, country, bic, currency_codes, rails, provider_type, status, enabled,
           flat_fee, percent_fee, avg_delay_sec, connector, endpoint_url, cut_off::text as cut_off, timezone,
           at_once_max, metadata
      from payments.bank_profiles
     where id = :id
    """,
    row=BankRow,
)

LIST_FILE_BANKS = Query(
    """
    /* banks.list_file_banks */
    select id, name, country, bic, currency_codes, rails, provider_type, status, enabled,
           flat_fee, percent_fee, avg_delay_sec, connector, endpoint_url, cut_off::text as cut_off, timezone,
           at_once_max, metadata
      from payments.bank_profiles
     where connector = 'pain001'
     order by id
    """,
    row=BankRow,
)

# The narrowest range that begins highest decides; within it, the first bank that may
# carry the currency now and whose gate nobody has closed.
FIND_ROUTE = Query(
    """
    /* banks.find_route */
    select b.id as bank_profile_id, b.name, b.connector, b.flat_fee, b.percent_fee, b.avg_delay_sec
      from payments.bank_routes as r
     cross join lateral unnest(r.bank_profile_ids) with ordinality as step(bank_id, place)
      join payments.bank_profiles as b on b.id = step.bank_id
     where r.replaced_at is null
       and r.currency = :currency and r.rail = :rail
       and r.min_amount <= :amount and (r.max_amount is null or r.max_amount >= :amount)
       and b.enabled and b.status = 'active'
       and :currency = any(b.currency_codes) and :rail = any(b.rails)
       and not exists (select from payments.bank_gates as g
                        where g.bank_profile_id = b.id and g.rail = r.rail
                          and g.currency = r.currency
                          and (g.held_until > now()
                               or (not g.is_open and g.closed_for @> :amount::bigint)))
     order by r.min_amount desc, step.place
     limit 1
    """,
    row=RouteRow,
)

FIND_ADMISSION = Query(
    """
    /* banks.find_admission */
    select (select count(*)
              from payments.bank_attempts as a
             where a.bank_profile_id = b.id and a.state = 'sending' and a.lease_until > now())::int as busy,
           coalesce(c.state <> 'closed', false) as is_open,
           greatest(coalesce(extract(epoch from c.probe_at - now()), 0), 0)::float8 as wait_s,
           t.requests, t.accepts
      from payments.bank_profiles as b
      left join payments.bank_circuits as c on c.bank_profile_id = b.id
     cross join lateral (
           select coalesce(sum(n.requests), 0)::int as requests, coalesce(sum(n.accepts), 0)::int as accepts
             from payments.bank_traffic as n
            where n.bank_profile_id = b.id
              and n.slot > now() - make_interval(secs => :window_s)) as t
     where b.id = :id
    """,
    row=AdmissionRow,
)

TAKE_PROBE = Query(
    """
    /* banks.take_probe */
    update payments.bank_circuits
       set state = 'half_open',
           probe_at = now() + make_interval(secs => :probe_s),
           updated_at = now()
     where bank_profile_id = :id and state <> 'closed' and probe_at <= now()
    """,
    row=Nothing,
)

NOTE_FAILURE = Query(
    """
    /* banks.note_failure */
    insert into payments.bank_circuits as c (bank_profile_id, state, failures)
    values (:id, 'closed', 1)
        on conflict (bank_profile_id) do update
       set failures = c.failures + 1,
           state = case when c.failures + 1 >= :failures_max then 'open' else c.state end,
           opened_at = case when c.state = 'closed' and c.failures + 1 >= :failures_max then now() else c.opened_at end,
           probe_at = case when c.failures + 1 >= :failures_max
                           then now() + make_interval(secs => :probe_s) else c.probe_at end,
           updated_at = now()
    """,
    row=Nothing,
)

NOTE_SUCCESS = Query(
    """
    /* banks.note_success */
    update payments.bank_circuits
       set state = 'closed', failures = 0, opened_at = null, probe_at = null, updated_at = now()
     where bank_profile_id = :id and (failures > 0 or state <> 'closed')
    """,
    row=Nothing,
)

APPEND_CALLBACK = Query(
    """
    /* banks.append_callback */
    insert into payments.bank_callbacks (bank_profile_id, dedupe_key, is_signed, body)
    values (:bank_profile_id, :dedupe_key, :is_signed, :body)
        on conflict (bank_profile_id, dedupe_key) do nothing
    returning id
    """,
    row=CallbackIdRow,
)

FIND_CALLBACK = Query(
    """
    /* banks.find_callback */
    select id, bank_profile_id, is_signed, body, state
      from payments.bank_callbacks
     where id = :id
    """,
    row=CallbackRow,
)

SET_CALLBACK = Query(
    """
    /* banks.set_callback */
    update payments.bank_callbacks
       set state = :state, attempt_id = :attempt_id, handled_at = now()
     where id = :id and state = 'new'
    """,
    row=Nothing,
)

PURGE_CALLBACKS = Query(
    """
    /* banks.purge_callbacks */
    delete from payments.bank_callbacks
     where id in (select id
                    from payments.bank_callbacks
                   where received_at < now() - make_interval(days => :days)
                   order by received_at
                   limit :limit)
    """,
    row=Nothing,
)

LIST_BALANCES = Query(
    """
    /* banks.list_balances */
    select id, bank_profile_id, account_reference, currency, account_type, ledger_account_code, balance, reserved
      from payments.treasury_balances
     order by bank_profile_id, currency, account_type
     limit :limit
    """,
    row=BalanceRow,
)

LIST_BANKS_NOW = Query(
    """
    /* banks.list_banks_now */
    select b.id, b.name, b.status, b.enabled, coalesce(c.state, 'closed') as circuit,
           (select count(*) from payments.bank_attempts as a
             where a.bank_profile_id = b.id and a.state in ('sending', 'accepted', 'unknown'))::int as open_attempts,
           (select count(*) from payments.bank_attempts as a
             where a.bank_profile_id = b.id and a.state = 'unknown')::int as unknown_attempts,
           (select count(*) from payments.bank_attempts as a
             where a.bank_profile_id = b.id and a.contradiction is not null)::int as contradictions
      from payments.bank_profiles as b
      left join payments.bank_circuits as c on c.bank_profile_id = b.id
     order by b.id
     limit :limit
    """,
    row=BankNowRow,
)
