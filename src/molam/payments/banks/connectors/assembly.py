"""The connectors there are, by the name a bank profile gives."""

from __future__ import annotations

from collections.abc import Mapping

from molam.payments.banks.connectors.http_bank import HttpBank
from molam.payments.banks.connectors.interface import Connector
from molam.payments.banks.connectors.orange_money import OrangeMoney
from molam.payments.banks.connectors.pain001 import Pain001
from molam.payments.banks.connectors.wave import Wave
from molam.payments.banks.http import BankHttp


def connectors_of(http: BankHttp) -> Mapping[str, Connector]:
    """Make one of each, all on the same connections."""
    each: tuple[Connector, ...] = (HttpBank(http), Wave(http), OrangeMoney(http), Pain001())
    return {connector.kind: connector for connector in each}
