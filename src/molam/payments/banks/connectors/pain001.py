"""Banks that take files: payment orders wait for the cut-off and go out as pain.001."""

from __future__ import annotations

from collections.abc import Mapping

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid8
from molam.payments.banks.connectors.interface import Bank
from molam.payments.banks.model import (
    REFERENCE_LENGTH_MAX,
    BankAccount,
    CallbackKey,
    CallbackRefused,
    CallbackSaid,
    Order,
    RecallAnswer,
    RecallRequest,
    Report,
    SurprisingAnswer,
)

WAITING = "waiting-for-file"


class Pain001:
    """Accepts at once: `files` writes the file, and a status file or a statement ends it."""

    kind = "pain001"
    can_ask = False
    can_probe = False
    can_recall = True
    calls_back = False
    watches_s = 0.0

    def wire_key(self, outward_key: str, attempt_no: int) -> str:
        """An EndToEndId has 35 characters; a longer key is replaced by the one id it stands for."""
        if attempt_no == 1 and len(outward_key) <= REFERENCE_LENGTH_MAX:
            return outward_key
        return uuid8(f"{outward_key}/{attempt_no}").hex

    async def send(self, bank: Bank, order: Order) -> Report:
        del bank
        destination = order.destination
        if not isinstance(destination, BankAccount):
            return Report("rejected", None, "not-an-account", "This bank pays into accounts only.")
        if destination.iban is None and destination.account_number is None:
            return Report("needs_details", None, "account-missing", "There is no account number.")
        return Report("accepted", code=WAITING, reason="It goes out with the next file.")

    async def inquire(self, bank: Bank, order: Order) -> Report | None:
        del bank, order
        raise SurprisingAnswer("a bank that takes files is not asked")

    async def recall(self, bank: Bank, order: Order, wish: RecallRequest) -> RecallAnswer:
        """Wait for the next file, which is written once; its answer comes by file as well."""
        del bank, order, wish
        return RecallAnswer("pending", WAITING)

    async def inquire_recall(
        self, bank: Bank, order: Order, wish: RecallRequest
    ) -> RecallAnswer | None:
        del bank, order, wish
        return None

    async def probe(self, bank: Bank) -> None:
        del bank
        raise SurprisingAnswer("a bank that takes files is not asked")

    def check_callback(
        self, bank: Bank, headers: Mapping[str, str], body: bytes, now: Instant
    ) -> CallbackKey:
        del bank, headers, body, now
        raise CallbackRefused("This bank answers by files only.")

    def read_callback(self, body: bytes) -> CallbackSaid:
        del body
        raise SurprisingAnswer("this bank answers by files only")
