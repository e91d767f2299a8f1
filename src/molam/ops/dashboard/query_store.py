"""The statements that read the hours: series, rankings, heat, and the rows behind a figure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    payload: dict[str, Any]
    snapshot_ts: datetime


@dataclass(frozen=True, slots=True)
class PointRow:
    at: datetime
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class ValueRow:
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class RegionRow:
    region: str


@dataclass(frozen=True, slots=True)
class CurrencyRow:
    currency: str


@dataclass(frozen=True, slots=True)
class Ranked:
    id: str
    name: str
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Heat:
    """How much fell on one hour of one weekday (1 is Monday), in UTC."""

    weekday: int
    hour: int
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Behind:
    """A row that a figure counts: *amount* is what it adds to it, and *whole* is its own."""

    kind: str
    id: str
    merchant_id: str
    merchant_name: str
    amount: int
    whole: int
    currency: str
    status: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Named:
    id: str
    name: str


FIND_SNAPSHOT = Query(
    """
    /* dashboard.find_snapshot */
    select payload, snapshot_ts
      from ops.dash_snapshots
     where scope = :scope and snapshot_ts > now() - interval '5 minutes'
    """,
    row=SnapshotRow,
)

COMPUTE_SNAPSHOT = Query(
    """
    /* dashboard.compute_snapshot */
    select ops.compute_dashboard_snapshot(:scope, now()) as payload, now() as snapshot_ts
    """,
    row=SnapshotRow,
)

FIND_REGION = Query(
    """
    /* dashboard.find_region */
    select ops.region_of(:country) as region
    """,
    row=RegionRow,
)

LIST_CURRENCIES = Query(
    """
    /* dashboard.list_currencies */
    select currency
      from ops.dash_aggregates_hourly
     where scope = :scope and bucket_ts > now() - interval '31 days'
     group by currency
     order by sum(transaction_count) desc, sum(gmv) desc, currency
    """,
    row=CurrencyRow,
)

FIND_CURRENCY = Query(
    """
    /* dashboard.find_currency */
    select coalesce((select default_currency from tenancy.merchants where 'merchant:' || id = :scope),
                    (select currency from tenancy.agents where 'agent:' || id = :scope),
                    (select currency_codes[1] from payments.bank_profiles where 'bank:' || id = :scope),
                    'XOF') as currency
    """,
    row=CurrencyRow,
)


# The value of a bucket, by how the figure adds up. Columns come from the list of figures
# and from nobody's request.
_VALUES = {
    "sum": "coalesce(sum(a.{name}), 0)::numeric",
    "last": "(array_agg(a.{name} order by a.bucket_ts desc) filter (where a.{name} is not null))[1]::numeric",
    "ratio": "round(least(sum(a.{top}), sum(a.{bottom}))::numeric / nullif(sum(a.{bottom}), 0), 4)",
}


def _value(how: str, name: str, over: tuple[str, str] | None) -> str:
    top, bottom = over or ("", "")
    return _VALUES[how].format(name=name, top=top, bottom=bottom)


def series_of(name: str, how: str, over: tuple[str, str] | None) -> Query[PointRow]:
    """Write the statement for one figure by buckets."""
    if how == "distinct":
        value = "ops.distinct_customers(:scope, :currency, b.at, b.at + :bucket::interval)::numeric"
    else:
        value = f"""(select {_value(how, name, over)}
               from ops.dash_aggregates_hourly a
              where a.scope = :scope and a.currency = :currency
                and a.bucket_ts >= b.at and a.bucket_ts < b.at + :bucket::interval)"""
    return Query(
        f"""
    /* dashboard.series_of_{name} */
    select b.at, {value} as value
      from (select :begins::timestamptz + n * :bucket::interval as at
              from generate_series(0, :buckets - 1) as n) as b
     order by 1
    """,
        row=PointRow,
    )


def total_of(name: str, how: str, over: tuple[str, str] | None) -> Query[ValueRow]:
    """Write the statement for one figure over a whole time."""
    if how == "distinct":
        text = "select ops.distinct_customers(:scope, :currency, :begins, :ends)::numeric as value"
    else:
        text = f"""select {_value(how, name, over)} as value
      from ops.dash_aggregates_hourly a
     where a.scope = :scope and a.currency = :currency and a.bucket_ts >= :begins and a.bucket_ts < :ends"""
    return Query(f"/* dashboard.total_of_{name} */ {text}", row=ValueRow)


_GROUPS = {
    "country": ("a.scope like 'country:%'", "a.country", "a.country"),
    "region": ("a.tenant_type = 'region'", "a.tenant_id", "a.tenant_id"),
    "merchant": (
        "a.tenant_type = 'merchant'",
        "a.tenant_id",
        "(select m.name from tenancy.merchants m where m.id = a.tenant_id)",
    ),
    "agent": (
        "a.tenant_type = 'agent'",
        "a.tenant_id",
        "(select g.name from tenancy.agents g where g.id = a.tenant_id)",
    ),
    "bank": (
        "a.tenant_type = 'bank'",
        "a.tenant_id",
        "(select p.name from payments.bank_profiles p where p.id = a.tenant_id)",
    ),
}


# Within a country or a region, its own parts; of anybody else, what there is of them.
_PLACES = {"country": "a.country = substr(:scope, 9)", "region": "a.region = substr(:scope, 8)"}


def _ranked_of(by: str, of: str) -> tuple[str, str, str]:
    """Tell whose rows are ranked, the id of each, and its name."""
    where, id_, label = _GROUPS[by]
    if of == "platform":
        return f"{where} and :scope::text = 'platform'", id_, label
    if of in _PLACES and not (of == "country" and by == "region"):
        return f"{where} and {_PLACES[of]}", id_, label
    if by in _PLACES:
        return "a.scope = :scope", f"a.{by}", f"a.{by}"
    return f"a.scope = :scope and {where}", id_, label


def ranking_of(
    by: str, of: str, *, name: str, how: str, over: tuple[str, str] | None
) -> Query[Ranked]:
    """Write the statement for who has most of one figure, of those who are part of *of*."""
    where, id_, label = _ranked_of(by, of)
    value = "sum(a.unique_customers)::numeric" if how == "distinct" else _value(how, name, over)
    if how == "distinct" and by in {"country", "region", "merchant"}:
        whose = ":scope" if where.startswith("a.scope") else f"'{by}:' || {id_}"
        value = f"ops.distinct_customers({whose}, :currency, :begins, :ends)::numeric"
    return Query(
        f"""
    /* dashboard.rank_{by}_of_{of}_by_{name} */
    select {id_} as id, coalesce({label}, {id_}) as name, {value} as value
      from ops.dash_aggregates_hourly a
     where {where} and {id_} is not null
       and a.currency = :currency and a.bucket_ts >= :begins and a.bucket_ts < :ends
     group by {id_}
     order by 3 desc nulls last, 1
     limit :limit
    """,
        row=Ranked,
    )


def heat_of(name: str, how: str, over: tuple[str, str] | None) -> Query[Heat]:
    """Write the statement for one figure by weekday and hour."""
    counted = ("sum", "unique_customers") if how == "distinct" else (how, name)
    value = _value(*counted, over)
    return Query(
        f"""
    /* dashboard.heat_of_{name} */
    select extract(isodow from a.bucket_ts at time zone 'UTC')::int as weekday,
           extract(hour from a.bucket_ts at time zone 'UTC')::int as hour, {value} as value
      from ops.dash_aggregates_hourly a
     where a.scope = :scope and a.currency = :currency and a.bucket_ts >= :begins and a.bucket_ts < :ends
     group by 1, 2
     order by 1, 2
    """,
        row=Heat,
    )


_BEHIND = """
    select {kind} as kind, x.id, x.merchant_id, m.name as merchant_name, {amount} as amount,
           x.amount as whole, x.currency, x.status, x.occurred_at
      from {table} x
      join tenancy.merchants m on m.id = x.merchant_id
     where x.currency = :currency and x.occurred_at >= :begins and x.occurred_at < :ends and {which}
       and (:tenant_type::text = 'platform'
            or :tenant_type = 'merchant' and x.merchant_id = :tenant_id
            or :tenant_type = 'country' and m.country = :tenant_id
            or :tenant_type = 'region' and ops.region_of(m.country) = :tenant_id
            or :tenant_type = 'bank' and {bank})
     order by x.occurred_at desc, x.id desc
     limit :limit
"""

_TRANSACTIONS = "payments.wallet_transactions"
# What we charged and, less that, what banks took: rows without a fee add nothing.
_CHARGED = """
           select type as kind, id, merchant_id, fee_molam as part, amount, currency, status, occurred_at,
                  null as bank_profile_id
             from payments.wallet_transactions
            where state = 'succeeded' and fee_molam <> 0"""
_TAKEN = """
           select 'payout', id, merchant_id, -fee, amount, currency, status, occurred_at, bank_profile_id
             from payments.payouts
            where state = 'paid' and fee <> 0"""


def _behind(
    name: str,
    kind: str,
    table: str,
    which: str,
    *,
    amount: str = "x.amount",
    bank: str = "false",
) -> Query[Behind]:
    text = _BEHIND.format(kind=kind, table=table, which=which, amount=amount, bank=bank)
    return Query(f"/* dashboard.list_{name}_behind */ {text}", row=Behind)


_BANK = "x.bank_profile_id = :tenant_id"
_PAID = "x.state = 'paid'"
BEHIND = {
    "sales": _behind(
        "sales", "'payment'", _TRANSACTIONS, "x.type = 'payment' and x.state = 'succeeded'"
    ),
    "attempts": _behind(
        "attempts", "'payment'", _TRANSACTIONS, "x.type = 'payment' and x.state <> 'pending'"
    ),
    "refunds": _behind(
        "refunds", "'refund'", _TRANSACTIONS, "x.type = 'refund' and x.state = 'succeeded'"
    ),
    "disputes": _behind("disputes", "'dispute'", "payments.disputes", "true"),
    "charged": _behind("charged", "x.kind", f"({_CHARGED})", "true", amount="x.part"),
    "earned": _behind(
        "earned",
        "x.kind",
        f"({_CHARGED} union all {_TAKEN})",
        "true",
        amount="x.part",
        bank=_BANK,
    ),
    "taken": _behind(
        "taken",
        "'payout'",
        "payments.payouts",
        f"{_PAID} and x.fee <> 0",
        amount="x.fee",
        bank=_BANK,
    ),
    "payouts": _behind("payouts", "'payout'", "payments.payouts", _PAID, bank=_BANK),
    "failed": _behind(
        "failed",
        "'payout'",
        "payments.payouts",
        "x.state in ('failed', 'returned')",
        bank=_BANK,
    ),
    "pending": _behind(
        "pending",
        "'payout'",
        "payments.payouts",
        "x.state in ('scheduled', 'held', 'pending', 'in_transit')",
        bank=_BANK,
    ),
}

_TENANTS = {
    "merchant": "select id, name from tenancy.merchants",
    "agent": "select id, name from tenancy.agents where status = 'active'",
    "bank": "select id, name from payments.bank_profiles",
    "country": """select country as id, country as name from tenancy.merchants
                 union select country, country from tenancy.agents""",
    "region": """select ops.region_of(country) as id, ops.region_of(country) as name from tenancy.merchants
                 union select ops.region_of(country), ops.region_of(country) from tenancy.agents""",
}
TENANTS = {
    type_: Query(
        f"""
    /* dashboard.list_{type_}_names */
    select id, name
      from ({text}) as t
     where :search = '' or tenancy.folded(id || ' ' || name) like '%' || tenancy.folded(:search) || '%'
     order by name, id
     limit :limit
    """,
        row=Named,
    )
    for type_, text in _TENANTS.items()
}
