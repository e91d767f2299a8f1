"""
What every way of talking to a bank or a wallet must offer.

A connector turns an `Order` into the bank's own words and the bank's words into a
`Report`. It decides nothing, keeps nothing and opens no transaction. To add one, write
a class with these methods, name it in `connectors.assembly` and allow its kind in a
migration (`connector_known`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.money import Money, parse_major
from molam.kernel.refusals import Refusal
from molam.payments.banks.http import Answer
from molam.payments.banks.model import (
    CallbackKey,
    CallbackSaid,
    Order,
    RecallAnswer,
    RecallRequest,
    Report,
    SurprisingAnswer,
)
from molam.payments.banks.secrets import BankSecret

StructT = TypeVar("StructT", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Bank:
    """Where a bank is, what we prove ourselves with, and where it may call us back."""

    id: str
    url: str
    secret: BankSecret
    callback_url: str


class Connector(Protocol):
    @property
    def kind(self) -> str:
        """Its name in bank_profiles.connector."""
        ...

    @property
    def can_ask(self) -> bool:
        """Whether there is an inquiry; otherwise only files and statements tell."""
        ...

    @property
    def can_probe(self) -> bool:
        """Whether it can be asked if it is there without asking it for anything."""
        ...

    @property
    def can_recall(self) -> bool:
        """Whether it can be asked to give back what it was sent; else people write to it."""
        ...

    @property
    def calls_back(self) -> bool:
        """Whether the bank is expected to speak first, so that silence is worth counting."""
        ...

    @property
    def watches_s(self) -> float:
        """For how long after paying it may take the money back, and is asked about that."""
        ...

    def wire_key(self, outward_key: str, attempt_no: int) -> str:
        """Name an attempt on the wire: the outward key, unless the bank takes no key twice."""
        ...

    async def send(self, bank: Bank, order: Order) -> Report:
        """
        Ask the bank to carry out *order*. Sent twice, it is carried out once.

        Raises:
            Outage: no answer; it may have been carried out.
            SurprisingAnswer: an answer that means nothing; likewise.
        """
        ...

    async def inquire(self, bank: Bank, order: Order) -> Report | None:
        """
        Ask what became of *order*; None when the bank says that it never saw it.

        Raises:
            Outage: no answer.
            SurprisingAnswer: an answer that means nothing.
        """
        ...

    async def recall(self, bank: Bank, order: Order, wish: RecallRequest) -> RecallAnswer:
        """
        Ask the bank to give back what *order* moved. Asked twice, it is one request.

        Raises:
            Outage: no answer; it may have been heard.
            SurprisingAnswer: an answer that means nothing; likewise.
        """
        ...

    async def inquire_recall(
        self, bank: Bank, order: Order, wish: RecallRequest
    ) -> RecallAnswer | None:
        """
        Ask how a request stands; None when the bank says that it never heard of it.

        Raises:
            Outage: no answer.
            SurprisingAnswer: an answer that means nothing.
        """
        ...

    async def probe(self, bank: Bank) -> None:
        """
        Ask whether the bank is there and knows us. Nothing moves.

        Raises:
            Outage: no answer.
            SurprisingAnswer: an answer, but not that of a bank that is well.
        """
        ...

    def check_callback(
        self, bank: Bank, headers: Mapping[str, str], body: bytes, now: Instant
    ) -> CallbackKey:
        """
        Decide whether to listen to a callback, before reading it.

        Raises:
            CallbackRefused: not from the bank.
        """
        ...

    def read_callback(self, body: bytes) -> CallbackSaid:
        """
        Read a callback that `check_callback` let pass.

        Raises:
            SurprisingAnswer: it means nothing.
        """
        ...


def read(answer: Answer | bytes, into: type[StructT]) -> StructT:
    """
    Read JSON strictly.

    Raises:
        SurprisingAnswer: cut off, not JSON, or not of that shape.
    """
    if isinstance(answer, Answer):
        if not answer.is_whole:
            raise SurprisingAnswer("the answer was too long")
        answer = answer.body
    try:
        return msgspec.json.decode(answer, type=into)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise SurprisingAnswer("the answer is not of the agreed shape") from error


def major(amount: int, code: str) -> str:
    """Write minor units as a plain decimal of major units: ``75000``, ``12.50``."""
    return f"{Money(amount, currency(code)).decimal():f}"


def minor(text: str, code: str) -> int:
    """
    Read a plain decimal of major units, exactly.

    Raises:
        SurprisingAnswer: not an amount of that currency.
    """
    try:
        return parse_major(text, currency(code)).minor
    except Refusal as refusal:
        raise SurprisingAnswer("the amount is not one") from refusal
