"""What the controller does about what it sees, and if nothing, why: decided without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from molam.mesh.control import hysteresis
from molam.mesh.control.hysteresis import Limits
from molam.mesh.control.world import HEALTHY_BELOW, WHOLE_SHARE, Bank, Verdict, Word, World
from molam.mesh.members.rules import Rules
from molam.mesh.routing.sequence import unrelated

ACCEPT = 2.25
"""Minus ln(0.105): from here down the target is believed to be as usual."""
REJECT = 2.89
"""ln(18): from here up the target is believed to suffer from the shift."""


def limits_of(rules: Rules) -> Limits:
    """Read a policy's rules as the figures of leaving and returning."""
    return Limits(
        leave_at=float(rules.leave_p_down),
        direct_at=float(rules.direct_p_down),
        return_at=float(rules.return_p_down),
        hold_s=rules.return_hold_minutes * 60.0,
        hold_factor_max=float(rules.return_hold_factor_max),
        probes_ok_min=rules.return_probes_ok,
        flap_penalty=float(rules.flap_penalty),
        half_life_s=rules.flap_half_life_minutes * 60.0,
        suppress_at=float(rules.flap_suppress),
        reuse_at=float(rules.flap_reuse),
        suppress_max_s=rules.flap_cap_minutes * 60.0,
    )


def judge(world: World) -> Verdict:
    """
    Decide what to do now: at most one thing, the most urgent first.

    A bank that is fit again is readmitted before anything else is asked: that moves no
    payout, and it may be the one that others wait for.
    """
    if world.stopped is not None:
        return Verdict(word="stay", reason="kill_switch")
    if not world.banks:
        return Verdict(word="stay", reason="no_members")
    fit = _readmit(world)
    if fit is not None:
        return fit
    if is_common(world):
        return Verdict(word="freeze", reason="common_mode")
    shifting = _shift(world)
    if shifting is not None:
        return shifting
    found = [each for each in (_leave(world), _return(world), _reorder(world)) if each is not None]
    return _first_of(world, found) or Verdict(word="stay", reason="well")


def is_common(world: World) -> bool:
    """
    Tell whether so much degraded at once that the cause is likely not the banks.

    Then moving payouts about would help nobody, and make the survivors fail too.
    """
    window = world.rules.panic_window_minutes * 60.0
    onsets = _onsets(world)
    for begun, _ in onsets:
        together = [bank for at, bank in onsets if begun <= at <= begun + window]
        many = len(together) * 100 > len(world.banks) * float(world.rules.panic_share_pct)
        kinds = unrelated(bank.domains or frozenset({f"bank:{bank.id}"}) for bank in together)
        if len(together) > 1 and (many or kinds >= world.rules.panic_domains):
            return True
    return False


def _onsets(world: World) -> list[tuple[float, Bank]]:
    found = [
        (each.degraded_since, each)
        for each in world.banks
        if each.degraded_since is not None and each.p_down >= HEALTHY_BELOW
    ]
    return sorted(found, key=lambda pair: pair[0])


def _shift(world: World) -> Verdict | None:
    shift = world.shift
    if shift is None:
        return None
    target = _find(world, shift.to_bank_id)
    goes_on = Verdict(
        word="step",
        reason="target_does_well",
        from_bank=shift.from_bank_id,
        to_bank=shift.to_bank_id,
        share=next_share(world.rules, shift.share),
    )
    if target is None or target.p_down >= HEALTHY_BELOW or shift.log_ratio >= REJECT:
        return replace(goes_on, word="halt", reason="target_suffers", share=shift.share)
    left = None if shift.from_bank_id is None else _find(world, shift.from_bank_id)
    if left is not None and left.p_down >= float(world.rules.direct_p_down):
        return replace(goes_on, reason="surely_down", share=WHOLE_SHARE)
    if left is not None and left.p_down <= float(world.rules.return_p_down) and not left.strikes:
        return replace(goes_on, word="halt", reason="left_is_well", share=shift.share)
    enough = shift.outcomes >= world.rules.step_outcomes_min and shift.log_ratio <= -ACCEPT
    if not (enough or shift.is_due):
        return replace(goes_on, word="stay", reason="shift_under_way")
    return goes_on if enough else replace(goes_on, reason="no_evidence_against")


def next_share(rules: Rules, share: int) -> int:
    """Say how much is to have moved after the next step: never more than the cap at once."""
    wanted = next((each for each in rules.gradual_steps if each > share), WHOLE_SHARE)
    return min(wanted, share + max(int(rules.value_cap_pct), 1), WHOLE_SHARE)


def _leave(world: World) -> Verdict | None:
    """Lead payouts away from a bank that fails, or that another surely beats."""
    limits = limits_of(world.rules)
    failing = [each for each in world.banks if _is_to_leave(world, each, limits)]
    failing.sort(key=lambda each: _urgency(each, limits))
    return _first_of(world, [_leaving(world, each, limits) for each in failing])


def _is_to_leave(world: World, bank: Bank, limits: Limits) -> bool:
    if bank.left_by_hand and bank.place.mode == "left":
        return False
    if bank.is_ejected:
        # What was not moved the first time: no room, above a limit, or approved in part.
        return bank.waiting > 0 and bank.p_down > limits.return_at
    if not (bank.is_first or bank.waiting):
        return False
    return bank.p_down >= limits.leave_at or bank.strikes >= world.rules.leave_evaluations


def _first_of(world: World, found: Sequence[Verdict]) -> Verdict | None:
    """
    Return the first that acts, if any does.

    What people were asked about holds up nothing else: it was tried, and was not sure enough.
    """
    acting = [each for each in found if each.acts]
    acting.sort(key=lambda each: (each.from_bank, each.kind) in world.asked)
    return next(iter([*acting, *found]), None)


def _urgency(bank: Bank, limits: Limits) -> tuple[bool, bool, bool, bool, int, str]:
    """Order what is to be left: leftovers come last, and who fails before who is only beaten."""
    return (
        bank.is_ejected,
        bank.p_down < limits.direct_at,
        bank.p_down < limits.leave_at,
        not bank.is_first,
        -bank.waiting,
        bank.id,
    )


def _leaving(world: World, bank: Bank, limits: Limits) -> Verdict:
    surely = bank.p_down >= limits.direct_at
    verdict = Verdict(
        word="move",
        reason="surely_down" if surely else "likely_down",
        from_bank=bank.id,
        share=WHOLE_SHARE if surely or bank.is_ejected else next_share(world.rules, 0),
        p_down=bank.p_down,
    )
    if bank.is_stopped:
        return _because(verdict, "stay", "kill_switch")
    is_at_home = any(each.is_healthy and each.id != bank.id for each in world.banks)
    if not (is_at_home or any(each.is_healthy for each in world.spares)):
        return _because(verdict, "stay", "last_healthy")
    if bank.is_ejected:
        verdict = _because(verdict, "move", "leftovers")
    elif bank.p_down < limits.leave_at:
        verdict = _because(verdict, "move", "another_is_better")
    if (bank.is_ejected or not surely) and _is_cooling(world):
        return _because(verdict, "stay", "cooldown")
    held = _held(world, bank, limits) if is_at_home else "other_region"
    return _alone_or_ask(world, verdict, held)


def _held(world: World, bank: Bank, limits: Limits) -> str | None:
    """Say why people must decide about leaving *bank*, if they must."""
    if _is_full(world):
        return "too_many_applies"
    if bank.is_ejected:
        return None
    if hysteresis.is_suppressed(bank.place, world.at, limits):
        return "flapping"
    return None if may_eject(world, bank) else "too_many_ejected"


def may_eject(world: World, bank: Bank) -> bool:
    """Tell whether leaving *bank* leaves enough of the members, by count or by capacity."""
    gone = [each for each in world.banks if each.is_ejected or each.id == bank.id]
    if len(gone) <= world.rules.max_ejected_members:
        return True
    # Where one has not said what it carries, each counts alike.
    are_known = all(each.capacity > 0 for each in world.banks)
    whole = sum(each.capacity if are_known else 1 for each in world.banks)
    lost = sum(each.capacity if are_known else 1 for each in gone)
    # In whole per cent, as the rule is written: of six banks that carry alike, two are 33.
    return lost * 100 // whole <= float(world.rules.max_ejected_capacity_pct)


def _fit(world: World) -> list[Bank]:
    """List those that were left and have been well for long enough, the preferred ones first."""
    limits = limits_of(world.rules)
    return [
        one
        for one in sorted(world.banks, key=lambda each: (each.prefer_order, each.id))
        if not (one.left_by_hand or one.is_stopped)
        and hysteresis.may_return(one.place, one.p_down, world.at, limits, probes_ok=one.probes_ok)
    ]


def _leads_back(world: World, bank: Bank) -> bool:
    """
    Tell whether payouts should go to *bank* again, and not merely may.

    It is preferred to whoever has them now, and has not lost that by failing more often
    while all is well. Otherwise they would end up at the bank that fails most.
    """
    # It may have kept amounts that nobody else carries.
    firsts = [each for each in world.banks if each.is_first and each.id != bank.id]
    gap = float(world.rules.reorder_gap_points) / 100
    return bool(firsts) and all(
        each.is_healthy
        and bank.baseline - each.baseline < (gap if bank.prefer_order < each.prefer_order else -gap)
        for each in firsts
    )


def _readmit(world: World) -> Verdict | None:
    """Let a bank that is fit again be one of those that may serve; no payout moves."""
    if not world.is_enforced:
        return None
    fit = [each for each in _fit(world) if not _leads_back(world, each)]
    if not fit:
        return None
    return Verdict(word="readmit", reason="fit_again", kind="return", to_bank=fit[0].id)


def _return(world: World) -> Verdict | None:
    """Lead payouts back to the bank that is preferred to the one that has them."""
    preferred = [each for each in _fit(world) if _leads_back(world, each)]
    if not preferred:
        return None
    verdict = Verdict(word="return", reason="well_again", kind="return", to_bank=preferred[0].id)
    if _is_cooling(world):
        return _because(verdict, "stay", "cooldown")
    return _alone_or_ask(world, verdict, "too_many_applies" if _is_full(world) else None)


def _reorder(world: World) -> Verdict | None:
    """Prefer a bank that is better in the long run, not because of a bad hour."""
    first = next((each for each in world.banks if each.is_first and each.is_healthy), None)
    every_s = world.rules.reorder_every_minutes * 60.0
    if first is None or _within(world.at, world.last_reorder_at, every_s) or _is_cooling(world):
        return None
    gap = float(world.rules.reorder_gap_points) / 100
    sure = float(world.rules.reorder_probability)
    better = [
        each
        for each in world.banks
        if each.is_healthy
        and each.id != first.id
        and first.baseline - each.baseline >= gap
        and first.better.get(each.id, 0.0) >= sure
    ]
    if not better:
        return None
    best = min(better, key=lambda each: (each.baseline, each.prefer_order, each.id))
    verdict = Verdict(
        word="reorder",
        reason="better_in_the_long_run",
        kind="reorder",
        from_bank=first.id,
        to_bank=best.id,
    )
    held = "too_many_applies" if _is_full(world) else None
    return _alone_or_ask(world, verdict, held)


def _is_full(world: World) -> bool:
    return world.applies_last_hour >= world.rules.applies_per_hour


def _alone_or_ask(world: World, verdict: Verdict, held: str | None) -> Verdict:
    if not world.is_enforced:
        return _because(verdict, "stay", "shadow")
    if held is None and world.may_act_alone:
        return verdict
    if (verdict.from_bank, verdict.kind) in world.asked:
        return _because(verdict, "stay", "waiting_for_people")
    return _because(verdict, "ask", held or "approval_required")


def _because(verdict: Verdict, word: Word, reason: str) -> Verdict:
    return replace(verdict, word=word, reason=reason)


def _is_cooling(world: World) -> bool:
    return _within(world.at, world.last_apply_at, world.rules.cooldown_minutes * 60.0)


def _within(at: float, since: float | None, seconds: float) -> bool:
    return since is not None and at - since < seconds


def _find(world: World, bank_id: str) -> Bank | None:
    return next((each for each in world.banks if each.id == bank_id), None)


def surely_better(bank: Bank, others: Iterable[Bank], rules: Rules) -> bool:
    """Tell whether one look finds another bank better by enough, and surely."""
    gap = float(rules.leave_gap_points) / 100
    sure = float(rules.auto_confidence_threshold)
    return any(
        bank.better.get(each.id, 0.0) >= sure and bank.failure - each.failure >= gap
        for each in others
        if each.is_healthy and each.id != bank.id
    )
