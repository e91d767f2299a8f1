"""Which banks are probed."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class BankIdRow:
    id: str


# Of members that are asked for anything: what is suspended comes back only if it is seen
# to be well.
LIST_PROBED = Query(
    """
    /* probes.list_probed */
    select b.id
      from payments.bank_profiles as b
     where b.enabled and b.status = 'active'
       and exists (select from mesh.mesh_members as m
                    where m.bank_profile_id = b.id and m.status in ('active', 'suspended'))
     order by b.id
     limit :limit
    """,
    row=BankIdRow,
)
