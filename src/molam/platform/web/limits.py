"""How often one stranger may try something, counted in this process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from molam.kernel.refusals import Kind, Refusal

_KEYS_MAX = 10_000


class TooManyAttempts(Refusal):
    code = "too-many-attempts"
    kind = Kind.TOO_MANY
    title = "Too many attempts"


class Limiter:
    """
    A token bucket for each key: *burst* at once, and *per_minute* in the long run.

    The keys least recently seen are forgotten first, so that its memory is bounded.
    """

    def __init__(
        self, *, burst: int, per_minute: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._per_s = per_minute / 60
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, key: str) -> None:
        """
        Make sure that an attempt of *key* is left, without using it.

        Raises:
            TooManyAttempts: none is left; it says when one will be.
        """
        left = self._left(key)
        if left < 1:
            wait_s = int((1 - left) / self._per_s) + 1
            raise TooManyAttempts(f"Wait {wait_s} seconds.", retry_after_s=wait_s)

    def take(self, key: str) -> None:
        """
        Use up one attempt of *key*.

        Raises:
            TooManyAttempts: none is left; it says when one will be.
        """
        self.check(key)
        self._buckets[key] = (self._left(key) - 1, self._monotonic())
        self._buckets.move_to_end(key)
        if len(self._buckets) > _KEYS_MAX:
            self._buckets.popitem(last=False)

    def _left(self, key: str) -> float:
        now = self._monotonic()
        left, then = self._buckets.get(key, (float(self._burst), now))
        return min(self._burst, left + (now - then) * self._per_s)
