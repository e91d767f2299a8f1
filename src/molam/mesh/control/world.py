"""The world as the controller sees it, and what it may decide: shapes without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from molam.mesh.control.hysteresis import Place
from molam.mesh.members.rules import Rules

Word = Literal["stay", "ask", "move", "return", "readmit", "reorder", "step", "halt", "freeze"]

HEALTHY_BELOW = 0.5
WHOLE_SHARE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """One member as the controller sees it. Probabilities, values, and Unix seconds."""

    id: str
    p_down: float
    place: Place
    failure: float = 0.01
    """The share of its payouts that is expected to fail in the next hour."""
    baseline: float = 0.01
    """The share that fails while all is well."""
    prefer_order: int = 100
    probes_ok: int = 0
    strikes: int = 0
    """How often in a row another bank was surely better."""
    degraded_since: float | None = None
    domains: frozenset[str] = frozenset()
    is_open: bool = True
    is_first: bool = False
    """Whether the route in force gives it payouts now."""
    waiting: int = 0
    """The value of payouts that wait for it and were handed to nobody."""
    capacity: int = 0
    """What it carries in a day; 0: nobody has said."""
    left_by_hand: bool = False
    """People led payouts away from it, and people lead them back."""
    is_stopped: bool = False
    """Somebody has stopped whatever happens to it by itself."""
    better: Mapping[str, float] = field(default_factory=dict)
    """How surely each other bank fails less."""

    @property
    def is_healthy(self) -> bool:
        may_serve = self.place.mode == "serving" and self.is_open and not self.is_stopped
        return may_serve and self.p_down < HEALTHY_BELOW

    @property
    def is_ejected(self) -> bool:
        """Whether it was left for good; during a shift, or after one that was halted, it serves."""
        return self.place.mode == "left" and not self.is_open


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A gradual shift that is under way, and what its target made of the last step."""

    proposal_id: str
    from_bank_id: str | None
    to_bank_id: str
    share: int
    is_due: bool
    outcomes: int
    failures: int
    log_ratio: float
    """Of the target failing three points more often, against it failing as usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    at: float
    rules: Rules
    banks: tuple[Bank, ...]
    spares: tuple[Bank, ...] = ()
    may_act_alone: bool = False
    is_enforced: bool = True
    stopped: str | None = None
    last_apply_at: float | None = None
    last_reorder_at: float | None = None
    applies_last_hour: int = 0
    asked: frozenset[tuple[str | None, str]] = frozenset()
    """Which proposals wait: whom each would leave, and its kind."""
    shift: Shift | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """*reason* is a word that pages put into a sentence; it is given for inaction too."""

    word: Word
    reason: str
    kind: Literal["failover", "return", "reorder"] = "failover"
    from_bank: str | None = None
    to_bank: str | None = None
    share: int = WHOLE_SHARE
    p_down: float = 0.0

    @property
    def acts(self) -> bool:
        return self.word not in {"stay", "freeze"}
