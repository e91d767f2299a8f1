"""Every statement about which accounts a merchant's books use."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class MappingRow:
    slot: str
    account: str
    label: str


LIST = Query(
    """
    /* merchant.list_account_mappings */
    select slot, account, label
      from merchant.account_mappings
     where merchant_id = :merchant_id
     order by slot
    """,
    row=MappingRow,
)

CLEAR = Query(
    """
    /* merchant.clear_account_mappings */
    delete from merchant.account_mappings
     where merchant_id = :merchant_id
    """,
    row=Nothing,
)

PUT = Query(
    """
    /* merchant.put_account_mapping */
    insert into merchant.account_mappings (merchant_id, slot, account, label, updated_by)
    values (:merchant_id, :slot, :account, :label, :by)
    """,
    row=Nothing,
)
