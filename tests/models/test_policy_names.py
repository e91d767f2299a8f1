"""Policies as delivered have names in both languages; those that people named keep theirs."""

from __future__ import annotations

from molam.approvals.policy.names import policy_in
from molam.approvals.policy.templates import TEMPLATES
from molam.mesh.room.details import delivered


def test_only_what_was_delivered_is_translated() -> None:
    for each in TEMPLATES:
        assert (policy_in(each.name[0], "en"), policy_in(each.name[0], "fr")) == each.name
    assert policy_in("Low-Risk Ops", "fr") == "Opérations à faible risque"
    assert policy_in("Our own default", "fr") == "Our own default"
    assert (delivered("EU default", "fr"), delivered("EU default", "en")) == (
        *("EU par défaut", "EU default"),
    )
    assert delivered("Night default", "fr") == "Night default"
