"""What the mesh writes in English reaches people who read French in French."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from molam.mesh.room.details import failure, in_french, told
from molam.mesh.routing import reasons
from molam.mesh.routing.reasons import Reason, sentence

SOURCE = Path(__file__).parents[2] / "src" / "molam"
# What pages call; other packages of the mesh are asked by programs only.
CALLED = ("control", "liquidity", "members", "room", "routing", "federation")
# Refusals that only programs meet, and those whose page shows its own words or none.
PROGRAMS = {
    "BankAbsent",
    "BankAccountAbsent",
    "CorridorAbsent",
    "DrawAbsent",
    "DrillAbsent",
    "HistoryRefused",
    "MeshActionAbsent",
    "MessageRefused",
    "MessageUsed",
    "MissingFields",
    "MissingRules",
    "NoHealthData",
    "NotAMember",
    "NothingToHold",
    "Outage",
    "ParamsRefused",
    "PeerUnknown",
    "PlanAbsent",
    "PolicyMissing",
    "PoolAbsent",
    "PreconditionChanged",
    "ProposalAbsent",
    "RegionAbsent",
    "RouteAbsent",
    "SettingsRefused",
    "TableAbsent",
    "TransferAbsent",
    "ValueError",
}
# Their sentences are made by whoever checks the fields, which the pages do themselves.
CHECKED = {"{}.", "rules is an object."}


def raised() -> Iterator[tuple[str, str]]:
    """Each sentence that a refusal is raised with, x for what is filled in."""
    files = [path for name in CALLED for path in (SOURCE / "mesh" / name).glob("*.py")]
    for path in [*files, SOURCE / "simulator" / "drill.py"]:
        if path.name.endswith(("endpoints.py", "peers.py")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                name = ast.unparse(node.exc.func).rsplit(".", 1)[-1]
                said = _text(node.exc.args[0])
                if name not in PROGRAMS and said is not None and said not in CHECKED:
                    yield f"{path.stem}.{name}", said


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    return None


def test_every_refusal_that_a_form_can_meet_is_told_in_french() -> None:
    found = list(raised())

    assert len(found) > 40
    assert [each for each in found if in_french(each[1].replace("{}", "x")) is None] == []


def test_a_sentence_without_french_would_be_noticed() -> None:
    assert in_french("Nobody has translated this.") is None


def test_what_is_filled_in_is_told_in_french_as_well() -> None:
    assert in_french("The proposal is rejected.") == "La proposition est rejetée."
    assert in_french("Banque X: It does not reach bank accounts.") == (
        "Banque X : Elle n'atteint pas les comptes bancaires."
    )
    assert told("The proposal is rejected.", "en") == "The proposal is rejected."
    assert told("Somebody wrote this.", "fr") == ""


def test_a_stored_failure_is_told_without_its_code() -> None:
    stored = "proposal-not-approved: People have to approve it first."

    assert failure(stored, "en") == "People have to approve it first."
    assert failure(stored, "fr") == (
        "Personne n'a approuvé cette proposition. Des personnes doivent d'abord l'approuver."
    )


@pytest.mark.parametrize(
    ("stored", "english", "french"),
    [
        ("proposal mrp_1", "a route was applied", "une route a été appliquée"),
        ("proposal mrp_1 was rolled back", "a route was taken back", "une route a été annulée"),
        ("it is fit again", "it is fit again", "elle est de nouveau en état"),
        ("the bank moves house", "the bank moves house", "the bank moves house"),
    ],
)
def test_why_a_gate_is_closed_is_said_in_words(stored: str, english: str, french: str) -> None:
    assert reasons.cause(stored, "en") == english
    assert reasons.cause(stored, "fr") == french


def test_a_reason_in_french_has_french_words_and_commas() -> None:
    rail = Reason("rail", {"rail": "bank"})
    sure = Reason("independent", {"bank": "Banque X", "survives": "99.33"})

    assert sentence(rail, "fr", currency="XOF") == "Elle n'atteint pas les comptes bancaires."
    assert "99,33 %" in sentence(sure, "fr", currency="XOF")
    assert "99.33 %" in sentence(sure, "en", currency="XOF")
