"""The names of policies as delivered, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from molam.approvals.policy.templates import TEMPLATES
from molam.platform.web.l10n import Language

# Those that weigh risks; the others are what policies start from.
_FRENCH: Mapping[str, str] = MappingProxyType(
    {
        "Global Default": "Règle générale",
        "High-Value Payouts": "Versements importants",
        "Emergency Actions": "Actions d\u2019urgence",
        "Low-Risk Ops": "Opérations à faible risque",
        **{each.name[0]: each.name[1] for each in TEMPLATES},
    }
)


def policy_in(name: str, language: Language) -> str:
    """Say what a policy is called; a name that people gave is nobody's to translate."""
    return _FRENCH.get(name, name) if language == "fr" else name
