"""Who holds which role now, remembered for moments."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

Directory = Callable[[str, str | None], Awaitable[frozenset[str] | None]]
"""(subject, merchant id) -> the roles granted there now; None: nobody of that name."""

_TTL_S = 2.0
_REMEMBERED_MAX = 10_000

_Key = tuple[str, str | None]


class RememberedDirectory:
    """
    A directory asked once for each person in two seconds.

    The database says when a grant changes (channel ``directory``); the two
    seconds bound how long a lost message could matter.
    """

    def __init__(
        self, directory: Directory, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._monotonic = monotonic
        self._remembered: OrderedDict[_Key, tuple[frozenset[str] | None, float]] = OrderedDict()
        self._generation = 0

    async def __call__(self, subject: str, merchant_id: str | None) -> frozenset[str] | None:
        key = (subject, merchant_id)
        held = self._remembered.get(key)
        if held is not None and self._monotonic() < held[1]:
            return held[0]
        generation = self._generation
        roles = await self._directory(subject, merchant_id)
        # An answer read before a change was told must not outlive it.
        if generation == self._generation:
            self._remembered[key] = (roles, self._monotonic() + _TTL_S)
            self._remembered.move_to_end(key)
            if len(self._remembered) > _REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        return roles

    def forget(self, person_id: str = "") -> None:
        """Forget *person_id*, or everybody when messages may have been lost."""
        self._generation += 1
        if not person_id:
            self._remembered.clear()
            return
        for key in [key for key in self._remembered if key[0] == person_id]:
            del self._remembered[key]
