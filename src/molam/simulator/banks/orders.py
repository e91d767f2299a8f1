"""What simulated banks are asked for, each in its own words, and what they make of it."""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec
from msgspec import Meta

from molam.simulator.banks.books_store import Transfer
from molam.simulator.banks.temper import Temper

_Text = Annotated[str, Meta(max_length=255)]


class HttpOrder(msgspec.Struct, frozen=True):
    key: Annotated[str, Meta(min_length=1, max_length=70)]
    amount: _Text
    currency: _Text
    beneficiary: dict[str, str | None]
    reference: _Text
    callback_url: Annotated[str, Meta(max_length=2000)] = ""


class WaveOrder(msgspec.Struct, frozen=True):
    currency: _Text
    receive_amount: _Text
    mobile: _Text
    client_reference: Annotated[str, Meta(min_length=1, max_length=70)]
    name: _Text = ""
    payment_reason: Annotated[str, Meta(max_length=40)] = ""


class OrangeOrder(msgspec.Struct, frozen=True):
    order_id: Annotated[str, Meta(min_length=1, max_length=70)]
    amount: _Text
    currency: _Text
    msisdn: _Text
    reference: _Text = ""
    notif_url: Annotated[str, Meta(max_length=2000)] = ""


class OrangeQuestion(msgspec.Struct, frozen=True):
    order_id: _Text
    amount: _Text = ""
    pay_token: _Text = ""


class Draft(msgspec.Struct, frozen=True):
    """An order that was understood and not booked yet."""

    bank: str
    dialect: str
    key: str
    amount: int
    currency: str
    beneficiary: str = ""
    name: str = ""
    reference: str = ""
    callback_url: str = ""

    def transfer(self, temper: Temper, now: float, *, rejected: bool) -> Transfer:
        settle_at = now + temper.settle_after_s
        returns = temper.return_after_s
        return Transfer(
            id="",
            bank=self.bank,
            dialect=self.dialect,
            key=self.key,
            amount=self.amount,
            currency=self.currency,
            beneficiary=self.beneficiary,
            name=self.name,
            reference=self.reference,
            callback_url=self.callback_url,
            token=secrets.token_hex(12),
            rejected_code=temper.reject_code if rejected else None,
            booked_at=now,
            settle_at=settle_at,
            return_at=None if returns is None or rejected else settle_at + returns,
        )
