"""What banks and we prove ourselves to each other with."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.payments.banks.model import CallbackRefused
from molam.platform.settings import Secret, SettingsRefused

TOLERANCE_S = 300

_Text = Annotated[str, Meta(min_length=16, max_length=512)]


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    api_key: _Text
    callback_secret: _Text


@dataclass(frozen=True, slots=True)
class BankSecret:
    """*api_key* is what we show the bank, *callback_secret* what it signs with."""

    api_key: Secret
    callback_secret: Secret


@dataclass(frozen=True, slots=True)
class BankSecrets:
    """The secrets of each bank: given by operators, or derived where banks are simulated."""

    given: Mapping[str, BankSecret] = field(default_factory=dict)
    root: Secret | None = None
    """Never set in production: there a bank without secrets is not spoken to."""

    def of(self, bank_profile_id: str) -> BankSecret | None:
        found = self.given.get(bank_profile_id)
        if found is not None or self.root is None:
            return found
        return BankSecret(
            self._derived(bank_profile_id, "api-key"),
            self._derived(bank_profile_id, "callback"),
        )

    def _derived(self, bank_profile_id: str, use: str) -> Secret:
        assert self.root is not None
        text = f"bank/{bank_profile_id}/{use}"
        made = hmac.new(self.root.reveal().encode(), text.encode(), hashlib.sha256)
        return Secret(made.hexdigest())


def read_secrets(text: Secret, *, root: Secret | None) -> BankSecrets:
    """
    Read BANK_SECRETS: ``{"bp_123": {"api_key": "...", "callback_secret": "..."}}``.

    Raises:
        SettingsRefused: it is not that. The message repeats nothing of it.
    """
    if not text:
        return BankSecrets(root=root)
    try:
        given = msgspec.json.decode(text.reveal().encode(), type=dict[str, _Given])
    except msgspec.MsgspecError:
        raise SettingsRefused(
            'BANK_SECRETS is not like {"bp_123": {"api_key": "...", "callback_secret": "..."}} '
            "with at least 16 characters each"
        ) from None
    return BankSecrets(
        {
            id_: BankSecret(Secret(each.api_key), Secret(each.callback_secret))
            for id_, each in given.items()
        },
        root=root,
    )


def check_timed_signature(
    header: str, body: bytes, secret: Secret, now: Instant, *, separator: bytes
) -> None:
    """
    Check ``t=1767600000,v1=<hex HMAC-SHA-256 of t, separator, body>`` in constant time.

    Several ``v1`` are accepted while a bank changes its secret.

    Raises:
        CallbackRefused: absent, malformed, wrong, or more than five minutes off.
    """
    parts = [part.strip().partition("=") for part in header.split(",")[:8]]
    stamps = [value for name, _, value in parts if name == "t"]
    given = [value for name, _, value in parts if name == "v1"]
    if len(stamps) != 1 or not given or not _is_stamp(stamps[0]):
        raise CallbackRefused("The signature header needs t and v1.")
    mac = hmac.new(secret.reveal().encode(), stamps[0].encode() + separator + body, hashlib.sha256)
    expected = mac.hexdigest().encode()
    matches = [hmac.compare_digest(expected, each.encode()) for each in given]
    if not any(matches):
        raise CallbackRefused("The signature does not fit the body.")
    if abs(now.timestamp() - int(stamps[0])) > TOLERANCE_S:
        raise CallbackRefused("The signature is more than five minutes old, or in the future.")


def _is_stamp(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len("1767600000000")
