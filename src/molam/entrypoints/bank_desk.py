"""Where owners of money, connectors and secrets are joined to what sends."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from obstore.store import ObjectStore

from molam.entrypoints.keys import secret_key
from molam.kernel.clock import SystemClock
from molam.payments.banks.callbacks import Ear
from molam.payments.banks.connectors.assembly import connectors_of
from molam.payments.banks.files import Post
from molam.payments.banks.http import BankHttp
from molam.payments.banks.model import Owner
from molam.payments.banks.secrets import BankSecrets, read_secrets
from molam.payments.banks.teller import Teller
from molam.payments.payouts.sending import PayoutOwner
from molam.payments.refunds.owner import Refunds
from molam.platform.settings import Settings


def secrets_of(settings: Settings) -> BankSecrets:
    """
    Read the secrets of banks; in development those that are not given are derived.

    Raises:
        SettingsRefused: BANK_SECRETS is malformed.
    """
    root = None if settings.is_production else secret_key(settings)
    return read_secrets(settings.bank_secrets, root=root)


def callbacks_url(settings: Settings) -> str:
    return f"{settings.merchant_url}/banks"


def ear_of(settings: Settings) -> Ear:
    """Put together what hears callbacks. It opens no connection."""
    return Ear(connectors_of(BankHttp()), secrets_of(settings))


@contextlib.asynccontextmanager
async def open_post(settings: Settings, files: ObjectStore) -> AsyncIterator[Post]:
    """Put together what sends, asks and writes files, on connections closed at the end."""
    owners: tuple[Owner, ...] = (Refunds(), PayoutOwner())
    async with BankHttp() as http:
        teller = Teller(
            connectors_of(http),
            {owner.kind: owner for owner in owners},
            secrets_of(settings),
            callbacks_url(settings),
            SystemClock(),
        )
        yield Post(teller, files)
