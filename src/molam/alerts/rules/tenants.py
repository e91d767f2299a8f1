"""Whether whom something is said or asked of is registered, and in which currency its float is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from molam.alerts.rules import metrics, store
from molam.alerts.rules.model import MetricMalformed, Sample
from molam.alerts.rules.store import UnknownRow
from molam.kernel.refusals import Refusal
from molam.payments.banks.model import BankAbsent
from molam.platform.db import Tx
from molam.tenancy.queries import AgentAbsent, MerchantAbsent

FLOAT = "float_available"

_ABSENT: Mapping[str, type[Refusal]] = MappingProxyType(
    {"merchant": MerchantAbsent, "agent": AgentAbsent, "bank": BankAbsent}
)
ABSENT: tuple[type[Refusal], ...] = tuple(_ABSENT.values())

_Own = Mapping[tuple[str, str], str]

# Note [A float in one currency]
#
# An agent has one float, in its own currency. What is told of it in another one is about
# nothing: it is refused where somebody can be told so, and passed over in the log, whose
# other events must go on. An agent that nobody registered yet may have any.


async def unknown(tx: Tx, tenants: Iterable[tuple[str, str | None]]) -> Sequence[UnknownRow]:
    """List those of *tenants* that nobody registered."""
    named = sorted({(kind, id_) for kind, id_ in tenants if id_ is not None and kind in _ABSENT})
    if not named:
        return []
    return await tx.all(
        store.LIST_UNKNOWN_TENANTS, kinds=[kind for kind, _ in named], ids=[id_ for _, id_ in named]
    )


async def check(tx: Tx, kind: str, id_: str | None) -> None:
    """
    Raises:
        MerchantAbsent, AgentAbsent, BankAbsent: nobody registered it.
    """
    if await unknown(tx, [(kind, id_)]):
        raise _ABSENT[kind](f"Check the {kind}'s id.")


async def check_floats(tx: Tx, samples: Sequence[Sample]) -> None:
    """
    Raises:
        MetricMalformed: one is of a float in a currency that its agent has none in.
    """
    own = await _own(tx, samples)
    for sample in samples:
        if _is_foreign(sample, own):
            currency = own["agent", sample.tenant_id or ""]
            raise MetricMalformed(
                f"The float of {sample.tenant_id} is in {currency}, not in {sample.currency}."
            )


async def with_currency(tx: Tx, samples: Sequence[Sample]) -> list[Sample]:
    """
    Give what is measured of merchants and agents their own currency, if none is said.

    Floats in a currency that their agent has none in are left out.
    """
    own = await _own(tx, samples)
    kept = [
        msgspec.structs.replace(
            sample, currency=own.get((sample.tenant_type, sample.tenant_id or ""))
        )
        if sample.currency is None
        else sample
        for sample in samples
        if not _is_foreign(sample, own)
    ]
    metrics.FOREIGN.inc(len(samples) - len(kept))
    return kept


async def _own(tx: Tx, samples: Sequence[Sample]) -> _Own:
    asked = {
        kind: sorted(
            {
                sample.tenant_id or ""
                for sample in samples
                if sample.tenant_type == kind and (sample.currency is None or _is_float(sample))
            }
        )
        for kind in ("merchant", "agent")
    }
    if not any(asked.values()):
        return {}
    rows = await tx.all(
        store.LIST_TENANT_CURRENCIES, merchant_ids=asked["merchant"], agent_ids=asked["agent"]
    )
    return {(row.kind, row.id): row.currency for row in rows}


def _is_float(sample: Sample) -> bool:
    return sample.metric == FLOAT and sample.tenant_type == "agent"


def _is_foreign(sample: Sample, own: _Own) -> bool:
    if sample.currency is None or not _is_float(sample):
        return False
    return own.get(("agent", sample.tenant_id or ""), sample.currency) != sample.currency
