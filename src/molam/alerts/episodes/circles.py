"""Whether alerts could quiet each other in a circle, by what inhibitions name: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from molam.alerts.episodes.model import InhibitionRow, Matcher

Known = frozenset[tuple[str, str]]
"""Labels of an alert, as far as they are known."""


@dataclass(frozen=True, slots=True)
class _Step:
    """
    An alert at the end of a chain of inhibitions, and the one at its beginning.

    *same* are labels in which the two agree, whether their values are known or not.
    """

    first: Known
    last: Known
    same: frozenset[str]


# Note [No circle]
#
# Flags are judged so that every chain of inhibitors ends at an alert that is told, whatever
# the inhibitions say. But then it is chance which alert of a circle is told; so one that
# would close a circle is refused. A chain is followed from the new inhibition through all
# that may come after it, with all that is known of its first and last alert, until the last
# could be the first.


def closes_circle(new: InhibitionRow, others: Sequence[InhibitionRow]) -> bool:
    """Tell whether some alert could, along *new* and *others*, quiet itself."""
    rules = [new, *(each for each in others if each.enabled and each.id != new.id)]
    begin = _Step(frozenset(), frozenset(), frozenset(Matcher.__struct_fields__))
    found = set(_followed(begin, new))
    ahead = list(found)
    while ahead:
        step = ahead.pop()
        if _joined(step.first, step.last) is not None:
            return True
        for rule in rules:
            for following in _followed(step, rule):
                if following not in found:
                    found.add(following)
                    ahead.append(following)
    return False


def _followed(step: _Step, rule: InhibitionRow) -> Iterator[_Step]:
    """Go from the last alert to one that it quiets by *rule*, if it may."""
    source = _joined(step.last, rule.source.items())
    first = _joined(step.first, ((k, v) for k, v in rule.source.items() if k in step.same))
    if source is None or first is None:
        return
    same = step.same & frozenset(rule.equal)
    kept = frozenset((name, value) for name, value in source if name in rule.equal)
    last = _joined(kept, rule.target.items())
    first = _joined(first, ((k, v) for k, v in rule.target.items() if k in same))
    if last is not None and first is not None:
        yield _Step(first, last, same)


def _joined(known: Known, more: Iterable[tuple[str, str]]) -> Known | None:
    """Know both; None: they contradict each other."""
    values = dict(known)
    for name, value in more:
        if values.setdefault(name, value) != value:
            return None
    return frozenset(values.items())
