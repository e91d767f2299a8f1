"""Reading measurements from the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from molam.alerts.rules import commands, messages
from molam.alerts.rules.model import Transition
from molam.alerts.runtime import Watch
from molam.platform.db import Tx
from molam.platform.events import Consumer

GROUP = "alerts"
TOPICS = (messages.TOPIC,)
BATCH_MAX = 2000

# Note [Each measurement once]
#
# A measurement moves its series in the transaction that moves the reader past it, and in
# which the alerts that follow are written: all of it happens, or nothing. What producers or
# the way through Kafka repeat is known by its id. A tenant's measurements share a lane of
# the log, and a series is read under its lock: two readers follow one another.

Follow = Callable[[Tx, Watch, Sequence[Transition]], Awaitable[object]]
"""What is done, in the same transaction, about what became true."""


class Intake:
    """Judges what is measured, and lets alerts follow."""

    def __init__(self, watch: Watch, follow: Follow) -> None:
        self._watch = watch
        self._follow = follow

    async def handle(self, tx: Tx, texts: list[str]) -> None:
        """
        Take in a batch of events.

        Raises:
            MetricMalformed: one of them cannot be used; the reader finds out which.
        """
        now = self._watch.clock.now()
        read = [messages.read(text, now=now) for text in texts]
        heard = [each for each in read if each is not None]
        transitions = await commands.apply(tx, heard, self._watch.rules, now=now)
        if transitions:
            await self._follow(tx, self._watch, transitions)


def consumer(watch: Watch, follow: Follow, *, group: str = "") -> Consumer:
    return Consumer(group or GROUP, TOPICS, Intake(watch, follow).handle, batch_max=BATCH_MAX)
