"""Who can be asked for exchange rates: the ECB, Fixer.io, Open Exchange Rates, a CSV somewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import Literal, Protocol
from urllib.parse import urlencode, urlsplit

from molam.kernel.currency import CURRENCIES
from molam.kernel.refusals import Outage
from molam.ledger import rates_formats as formats
from molam.ledger.rates_model import Quoted, RatesRefused
from molam.platform.egress import Egress
from molam.platform.settings import Secret

ProviderName = Literal["ecb", "fixer", "openexchangerates", "csv"]

ADDRESSES: dict[str, str] = {
    "ecb": "https://www.ecb.europa.eu/stats/eurofxref",
    "fixer": "https://data.fixer.io/api",
    "openexchangerates": "https://openexchangerates.org/api",
}
_HEADERS = {"User-Agent": "molam-connect"}
_JSON_BYTES_MAX = 256 * 1024


class Provider(Protocol):
    """Somebody who quotes rates."""

    @property
    def name(self) -> ProviderName: ...

    @property
    def base(self) -> str:
        """The currency it quotes when nobody asks for another."""
        ...

    async def fetch(self, base: str, on: date | None) -> Sequence[Quoted]:
        """
        Ask for the rates of *base* dated *on*, or the newest; there may be other days among them.

        Raises:
            RatesMalformed: the answer is not what this provider answers.
            RatesRefused: it does not answer us, and says why.
            Outage: it does not answer at the moment.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ecb:
    """The reference rates of the European Central Bank: the euro's, each business day."""

    egress: Egress
    address: str
    name: ProviderName = "ecb"
    base: str = "EUR"

    async def fetch(self, base: str, on: date | None) -> Sequence[Quoted]:
        if base != self.base:
            raise RatesRefused("The ECB quotes the euro only.")
        if on is None:
            url = f"{self.address}/eurofxref-daily.xml"
            return formats.read_ecb_xml(await _get(self.egress, url, _JSON_BYTES_MAX))
        url = f"{self.address}/eurofxref-hist.zip"
        found = formats.read_file(await _get(self.egress, url, formats.FILE_BYTES_MAX))
        return [each for each in found if each.as_of >= on]


@dataclass(frozen=True, slots=True)
class Fixer:
    """Fixer.io, by its key."""

    egress: Egress
    address: str
    key: Secret
    name: ProviderName = "fixer"
    base: str = "EUR"

    async def fetch(self, base: str, on: date | None) -> Sequence[Quoted]:
        path = "latest" if on is None else on.isoformat()
        # It takes the key in the address only, which is why no address is ever logged.
        asked = {"access_key": self.key.reveal(), "base": base, "symbols": ",".join(CURRENCIES)}
        url = f"{self.address}/{path}?{urlencode(asked)}"
        return formats.read_fixer(await _get(self.egress, url, _JSON_BYTES_MAX))


@dataclass(frozen=True, slots=True)
class OpenExchangeRates:
    """Open Exchange Rates, by its app id."""

    egress: Egress
    address: str
    key: Secret
    name: ProviderName = "openexchangerates"
    base: str = "USD"

    async def fetch(self, base: str, on: date | None) -> Sequence[Quoted]:
        path = "latest.json" if on is None else f"historical/{on.isoformat()}.json"
        asked = {"symbols": ",".join(CURRENCIES)}
        if base != self.base:
            asked["base"] = base
        url = f"{self.address}/{path}?{urlencode(asked)}"
        body = await _get(self.egress, url, _JSON_BYTES_MAX, f"Token {self.key.reveal()}")
        return formats.read_openexchangerates(body)


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file of rates at an address: somebody's own, a bank's, or the ECB's history."""

    egress: Egress
    address: str
    name: ProviderName = "csv"
    base: str = "EUR"

    async def fetch(self, base: str, on: date | None) -> Sequence[Quoted]:
        found = formats.read_file(await _get(self.egress, self.address, formats.FILE_BYTES_MAX))
        return [
            each for each in found if base in {each.base, each.quote} and on in {None, each.as_of}
        ]


def provider_of(name: str, *, key: Secret, url: str, egress: Egress) -> Provider | None:
    """Make the provider that the settings name; None when they name none."""
    address = (url or ADDRESSES.get(name, "")).rstrip("/")
    makers: dict[str, Callable[[], Provider]] = {
        "ecb": lambda: Ecb(egress, address),
        "fixer": lambda: Fixer(egress, address, key),
        "openexchangerates": lambda: OpenExchangeRates(egress, address, key),
        "csv": lambda: CsvFile(egress, address),
    }
    return makers[name]() if name in makers else None


async def _get(egress: Egress, url: str, bytes_max: int, authorization: str = "") -> bytes:
    headers = {**_HEADERS, **({"Authorization": authorization} if authorization else {})}
    answer = await egress.get(url, headers=headers, bytes_max=bytes_max)
    host = urlsplit(url).hostname or ""
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.REQUEST_TIMEOUT,
    }:
        raise Outage(host, retry_after_s=600)
    if answer.status != HTTPStatus.OK and not answer.body.lstrip().startswith(b"{"):
        raise RatesRefused(f"{host} answers {answer.status}.")
    return answer.body
