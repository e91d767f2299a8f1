"""Every statement by which the demo's banks are set up."""

from __future__ import annotations

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing

# What operators have changed stays; only where the simulated servers are may move.
PUT_BANK = Query(
    """
    /* simulator.put_bank */
    insert into payments.bank_profiles as b
           (id, name, country, bic, currency_codes, rails, provider_type, compliance_level, status,
            enabled, fees, flat_fee, percent_fee, avg_delay_sec, risk_score, sla_settlement_days,
            health_status, connector, endpoint_url, cut_off, timezone, metadata)
    values (:id, :name, :country, :bic, :currency_codes, :rails, :provider_type, 'verified', 'active',
            true, :fees::jsonb, :flat_fee, :percent_fee::text::numeric, :avg_delay_sec, :risk_score::text::numeric,
            :sla_settlement_days, 'healthy', :connector, :endpoint_url, :cut_off::text::time, :timezone,
            '{"simulated": true}')
        on conflict (id) do update
       set endpoint_url = excluded.endpoint_url
     where b.metadata @> '{"simulated": true}' and b.endpoint_url <> excluded.endpoint_url
    """,
    row=Nothing,
)

PUT_TREASURY_ACCOUNT = Query(
    """
    /* simulator.put_treasury_account */
    insert into payments.treasury_accounts (id, bank_profile_id, account_reference, currency, account_type)
    values (:id, :bank_profile_id, :account_reference, :currency, 'payout')
        on conflict do nothing
    """,
    row=Nothing,
)

PUT_ROUTE = Query(
    """
    /* simulator.put_route */
    insert into payments.bank_routes (currency, rail, min_amount, max_amount, bank_profile_ids, cause)
    select :currency, :rail, :min_amount, null, :bank_profile_ids, 'demo'
     where not exists (select from payments.bank_routes where currency = :currency and rail = :rail
                          and min_amount = :min_amount)
    """,
    row=Nothing,
)
