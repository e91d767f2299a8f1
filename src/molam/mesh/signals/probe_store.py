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

# Those whose payments fail while probes are answered are not asked faster: that would only
# drown what payments say. One that was left has no payments to hear.
LIST_TROUBLED = Query(
    """
    /* probes.list_troubled */
    select b.id
      from payments.bank_profiles as b
     where b.enabled and b.status = 'active'
       and (:id::text is null or b.id = :id)
       and exists (select from mesh.mesh_members as m
                    where m.bank_profile_id = b.id and m.status in ('active', 'suspended'))
       and exists (select from mesh.member_health as h
                    where h.bank_profile_id = b.id and h.p_down >= :p_down_min
                      and (h.mode = 'left' or h.probes_ok_in_row < :probes_ok_max))
     order by b.id
     limit :limit
    """,
    row=BankIdRow,
)
