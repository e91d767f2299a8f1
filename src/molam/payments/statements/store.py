"""Every statement that keeps and lists what banks sent us."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class IdRow:
    id: UUID


@dataclass(frozen=True, slots=True)
class BankRow:
    id: str
    name: str
    currency_codes: list[str]


@dataclass(frozen=True, slots=True)
class RulesRow:
    mapping: dict[str, object] | None
    collects: list[str]
    tolerance_minor: int
    tolerance_basis_points: int
    window_days: int
    transit_days: int
    updated_by: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class BookRow:
    begins_on: date
    opening: int
    closed_through: date | None


@dataclass(frozen=True, slots=True)
class StatementRow:
    id: UUID
    bank_profile_id: str
    bank_name: str
    currency: str
    format: str
    sha256: bytes
    file_name: str
    account: str
    reference: str
    first_day: date
    last_day: date
    opening: int | None
    closing: int | None
    lines: int
    money_in: int
    money_out: int
    fees: int
    imported_by: str
    imported_at: datetime
    discarded_by: str | None
    discarded_at: datetime | None
    discard_reason: str | None
    matched: int
    open: int
    archived: int


@dataclass(frozen=True, slots=True)
class LineRow:
    id: int
    statement_id: UUID
    line_no: int
    bank_profile_id: str
    currency: str
    booked_on: date
    value_on: date
    amount: int
    fee: int
    bank_ref: str
    end_to_end_id: str
    counterparty: str
    text: str
    is_return: bool
    is_fee: bool
    state: str
    status: str
    mismatch: str | None
    match_id: UUID | None
    kind: str | None
    object_id: str | None
    merchant_id: str | None
    leg: str | None
    difference: int | None
    tier: str | None
    score: float | None
    explanation: dict[str, str] | None
    reason: str | None
    matched_by: str | None
    matched_at: datetime | None


@dataclass(frozen=True, slots=True)
class SumsRow:
    state: str
    lines: int
    amount: int
    fees: int


FIND_BANK = Query(
    """
    /* statements.find_bank */
    select id, name, currency_codes from payments.bank_profiles where id = :id
    """,
    row=BankRow,
)

LIST_BANKS = Query(
    """
    /* statements.list_banks */
    select id, name, currency_codes from payments.bank_profiles order by name, id limit 500
    """,
    row=BankRow,
)

FIND_RULES = Query(
    """
    /* statements.find_rules */
    select mapping, collects, tolerance_minor, tolerance_basis_points, window_days, transit_days,
           updated_by, updated_at
      from payments.statement_rules
     where bank_profile_id = :bank_profile_id
    """,
    row=RulesRow,
)

PUT_RULES = Query(
    """
    /* statements.put_rules */
    insert into payments.statement_rules as r
           (bank_profile_id, mapping, collects, tolerance_minor, tolerance_basis_points, window_days,
            transit_days, updated_by)
    values (:bank_profile_id, :mapping::jsonb, :collects::text[], :tolerance_minor, :tolerance_basis_points,
            :window_days, :transit_days, :by)
    on conflict (bank_profile_id) do update
       set mapping = excluded.mapping, collects = excluded.collects,
           tolerance_minor = excluded.tolerance_minor,
           tolerance_basis_points = excluded.tolerance_basis_points,
           window_days = excluded.window_days, transit_days = excluded.transit_days,
           updated_by = excluded.updated_by, updated_at = now()
    """,
    row=Nothing,
)

# Books whose first statement declared no balance begin at zero. The first one that does
# declare one says what they should have begun with, unless a day is closed by then.
BEGIN_BOOKS = Query(
    """
    /* statements.begin_books */
    insert into payments.books as k (bank_profile_id, currency, begins_on, opening, opening_assumed)
    values (:bank_profile_id, :currency, :begins_on, coalesce(:opening::bigint, 0), :opening::bigint is null)
    on conflict (bank_profile_id, currency) do update
       set opening = excluded.opening
                   - (select coalesce(sum(l.amount - l.fee), 0)
                        from payments.statement_lines as l
                       where l.bank_profile_id = k.bank_profile_id and l.currency = k.currency
                         and l.booked_on < excluded.begins_on and l.state <> 'void'),
           opening_assumed = false
     where k.opening_assumed and not excluded.opening_assumed
       and k.closed_through is null and excluded.begins_on >= k.begins_on
    """,
    row=Nothing,
    locks=Rank.STATEMENT,
)

# Whoever holds it alone adds lines, matches them and closes days of this account.
LOCK_BOOKS = Query(
    """
    /* statements.lock_books */
    select begins_on, opening, closed_through
      from payments.books
     where bank_profile_id = :bank_profile_id and currency = :currency
       for update
    """,
    row=BookRow,
    locks=Rank.STATEMENT,
)

FIND_SAME_FILE = Query(
    """
    /* statements.find_same_file */
    select id from payments.statements
     where bank_profile_id = :bank_profile_id and sha256 = :sha256 and discarded_at is null
     order by part
    """,
    row=IdRow,
)

INSERT_STATEMENT = Query(
    """
    /* statements.insert_statement */
    insert into payments.statements
           (id, bank_profile_id, currency, format, sha256, part, file_name, account, reference, first_day,
            last_day, opening, closing, lines, money_in, money_out, fees, imported_by)
    select s.id, s.bank_profile_id, s.currency, s.format, decode(s.sha256, 'hex'), s.part, s.file_name,
           s.account, s.reference, s.first_day, s.last_day, s.opening, s.closing, s.lines, s.money_in,
           s.money_out, s.fees, s.imported_by
      from json_to_record(:statement::json) as s(
           id uuid, bank_profile_id text, currency text, format text, sha256 text, part smallint,
           file_name text, account text, reference text, first_day date, last_day date, opening bigint,
           closing bigint, lines integer, money_in bigint, money_out bigint, fees bigint, imported_by text)
    """,
    row=Nothing,
)

INSERT_LINES = Query(
    """
    /* statements.insert_lines */
    insert into payments.statement_lines
           (statement_id, line_no, bank_profile_id, currency, booked_on, value_on, amount, fee, bank_ref,
            end_to_end_id, named_key, counterparty, text, is_return, is_fee)
    select :statement_id, l.line_no, :bank_profile_id, :currency, l.booked_on, l.value_on, l.amount, l.fee,
           l.bank_ref, l.end_to_end_id, l.named_key, l.counterparty, l.text, l.is_return, l.is_fee
      from json_to_recordset(:lines::json) as l(
           line_no integer, booked_on date, value_on date, amount bigint, fee bigint, bank_ref text,
           end_to_end_id text, named_key text, counterparty text, text text, is_return boolean, is_fee boolean)
     order by l.line_no
    """,
    row=Nothing,
)

_STATEMENT = """
    select s.id, s.bank_profile_id, b.name as bank_name, s.currency, s.format, s.sha256, s.file_name, s.account,
           s.reference, s.first_day, s.last_day, s.opening, s.closing, s.lines, s.money_in, s.money_out,
           s.fees, s.imported_by, s.imported_at, s.discarded_by, s.discarded_at, s.discard_reason,
           count(*) filter (where l.state in ('matched', 'partially_reconciled')) as matched,
           count(*) filter (where l.state in ('posted', 'mismatched')) as open,
           count(*) filter (where l.state = 'archived') as archived
      from payments.statements as s
      join payments.bank_profiles as b on b.id = s.bank_profile_id
      left join payments.statement_lines as l on l.statement_id = s.id
"""

FIND_STATEMENT = Query(
    f"""
    /* statements.find_statement */
    {_STATEMENT}
     where s.id = :id
     group by s.id, b.name
    """,
    row=StatementRow,
)

LIST_STATEMENTS = Query(
    f"""
    /* statements.list_statements */
    {_STATEMENT}
     where s.id in (
           select n.id
             from payments.statements as n
            where (:bank_profile_id::text is null or n.bank_profile_id = :bank_profile_id)
              and (:before::timestamptz is null or (n.imported_at, n.id) < (:before, :before_id::uuid))
            order by n.imported_at desc, n.id desc
            limit :limit)
     group by s.id, b.name
     order by s.imported_at desc, s.id desc
    """,
    row=StatementRow,
)

_LINE = """
    select l.id, l.statement_id, l.line_no, l.bank_profile_id, l.currency, l.booked_on, l.value_on, l.amount,
           l.fee, l.bank_ref, l.end_to_end_id, l.counterparty, l.text, l.is_return, l.is_fee, l.state,
           l.status, l.mismatch, m.id as match_id, m.kind, m.object_id, m.merchant_id, m.leg, m.difference,
           m.tier, m.score::float8 as score, m.explanation, m.reason, m.matched_by, m.matched_at
      from payments.statement_lines as l
      left join payments.statement_matches as m on m.line_id = l.id and m.undone_at is null
"""

FIND_LINE = Query(
    f"""
    /* statements.find_line */
    {_LINE}
     where l.statement_id = :statement_id and l.line_no = :line_no
    """,
    row=LineRow,
)

LIST_LINES = Query(
    f"""
    /* statements.list_lines */
    {_LINE}
     where l.statement_id = :statement_id
       and l.line_no > :after
       and (:states::text[] is null or l.state = any(:states))
     order by l.line_no
     limit :limit
    """,
    row=LineRow,
)

# Oldest first: whoever waits longest is asked for first.
LIST_OPEN = Query(
    f"""
    /* statements.list_open */
    {_LINE}
     where l.state in ('posted', 'mismatched')
       and (:bank_profile_id::text is null or l.bank_profile_id = :bank_profile_id)
       and (l.booked_on, l.id) > (:after_day::date, :after_id::bigint)
     order by l.booked_on, l.id
     limit :limit
    """,
    row=LineRow,
)

LIST_SUMS = Query(
    """
    /* statements.list_sums */
    select state, count(*) as lines, sum(amount)::bigint as amount, sum(fee)::bigint as fees
      from payments.statement_lines
     where statement_id = :statement_id
     group by state
     order by state
    """,
    row=SumsRow,
)

SET_DISCARDED = Query(
    """
    /* statements.set_discarded */
    update payments.statements
       set discarded_by = :by, discarded_at = now(), discard_reason = :reason
     where id = :id and discarded_at is null
    """,
    row=Nothing,
)

SET_LINES_VOID = Query(
    """
    /* statements.set_lines_void */
    update payments.statement_lines
       set state = 'void', mismatch = null
     where statement_id = :statement_id and state in ('posted', 'mismatched')
    """,
    row=Nothing,
)
