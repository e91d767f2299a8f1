"""What the development issuer remembers: sessions, codes, refresh tokens, tries."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Generic, TypeVar

import pyotp

from molam.kernel.clock import Clock, Instant
from molam.platform.auth.tokens import AAL1, AAL2
from molam.simulator.people import Person

_REMEMBERED_MAX = 10_000
_WRONG_MAX = 5
_LOCKED = timedelta(minutes=5)
_TOTP_STEP_S = 30

HeldT = TypeVar("HeldT")


class Forgetful(Generic[HeldT]):
    """A mapping whose entries end after *ttl*, and of bounded size."""

    def __init__(self, clock: Clock, *, ttl: timedelta) -> None:
        self._clock = clock
        self._ttl = ttl
        self._held: OrderedDict[str, tuple[HeldT, Instant]] = OrderedDict()

    def add(self, value: HeldT) -> str:
        """Keep *value* under a new secret key and return the key."""
        key = secrets.token_urlsafe(32)
        self.put(key, value)
        return key

    def put(self, key: str, value: HeldT) -> None:
        self._held[key] = (value, self._clock.now() + self._ttl)
        self._held.move_to_end(key)
        if len(self._held) > _REMEMBERED_MAX:
            self._held.popitem(last=False)

    def find(self, key: str) -> HeldT | None:
        held = self._held.get(key)
        return held[0] if held is not None and self._clock.now() < held[1] else None

    def take(self, key: str) -> HeldT | None:
        """Find and forget, so that whatever the key opens is opened once."""
        value = self.find(key)
        self._held.pop(key, None)
        return value


@dataclass(frozen=True, slots=True)
class SignedIn:
    """How and when a browser proved who is behind it."""

    person_id: str
    auth_time: Instant
    acr: str = AAL1
    amr: tuple[str, ...] = ("pwd",)

    def stepped_up(self, now: Instant) -> SignedIn:
        return replace(self, auth_time=now, acr=AAL2, amr=("pwd", "otp", "mfa"))


@dataclass(frozen=True, slots=True)
class Asked:
    """An authorization request that passed every check."""

    client_id: str
    redirect_uri: str
    code_challenge: str
    state: str = ""
    nonce: str = ""
    scope: str = "openid"
    acr_values: str = ""
    max_age: int | None = None
    prompt: str = ""
    ui_locales: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a code or a refresh token may be exchanged for."""

    asked: Asked
    signed_in: SignedIn
    family: str


class OneTimeCodes:
    """
    Checks TOTP codes (RFC 6238): each once, the step before and after too.

    Five wrong ones lock the person out for five minutes; knowing the password
    does not make guessing a million codes possible.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_step: dict[str, int] = {}
        self._wrong: dict[str, tuple[int, Instant]] = {}

    def is_locked(self, person_id: str) -> bool:
        count, last = self._wrong.get(person_id, (0, self._clock.now()))
        return count >= _WRONG_MAX and self._clock.now() - last < _LOCKED

    def accept(self, person_id: str, code: str) -> bool:
        """Use up *code* if it is right and newer than any used before."""
        if self.is_locked(person_id):
            return False
        now = self._clock.now()
        totp = _totp(person_id)
        current = int(now.timestamp()) // _TOTP_STEP_S
        used = self._last_step.get(person_id, -1)
        for step in (current, current - 1, current + 1):
            right = hmac.compare_digest(totp.generate_otp(step).encode(), code.encode())
            if right and step > used:
                self._last_step[person_id] = step
                self._wrong.pop(person_id, None)
                return True
        count, last = self._wrong.get(person_id, (0, now))
        if now - last >= _LOCKED:
            count = 0
        self._wrong[person_id] = (count + 1, now)
        return False

    def next_code(self, person_id: str) -> str:
        """Tell the earliest code that is still unused, for the hint on the development page."""
        step = int(self._clock.now().timestamp()) // _TOTP_STEP_S
        return _totp(person_id).generate_otp(max(step, self._last_step.get(person_id, -1) + 1))


def _totp(person_id: str) -> pyotp.TOTP:
    return pyotp.TOTP(Person(person_id, person_id, "fr", ()).totp_secret)
