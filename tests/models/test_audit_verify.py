"""The offline verifier finds whatever was changed, taken away or put in, and says where."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from audit_records import ANOTHER, SIGNER, Record, entries, line, record, sign
from builders import NOW
from molam.audit import proofs, verify
from molam.audit.chain import entry_of
from molam.audit.signing import Signer, read_key

FIFTY = record(entries(50))
# As varied, and every byte of it is tried in a sixth of the time.
TWENTY = record(entries(20))
FLIPS = (0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80)
_LANES = 8


def _signed(of: Record) -> verify.Checkpoint:
    return verify.read_checkpoint(of.note, verify.read_keys(of.pubkey))


def _judge(data: bytes, note: str = FIFTY.note, pubkey: str = FIFTY.pubkey) -> tuple[int, str]:
    """Verify as the command does: its exit code and what it says."""

    def check() -> str:
        signed = verify.read_checkpoint(note, verify.read_keys(pubkey))
        return str(verify.verify(_lines(data), signed))

    return verify.judged(check)


def _lines(data: bytes) -> list[bytes]:
    """Split as a file does; splitlines() would also break at a carriage return."""
    parts = data.split(b"\n")
    return [each + b"\n" for each in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


_SIGNED = _signed(TWENTY)


def _checked(lines: list[bytes]) -> tuple[int, str]:
    return verify.judged(lambda: str(verify.verify(lines, _SIGNED)))


def test_an_untouched_export_is_right():
    code, said = _judge(FIFTY.bytes)

    assert code == 0
    assert said.startswith("OK 50 entries, 7 chains, tree 50, root ")


@pytest.mark.parametrize("lane", range(_LANES))
def test_every_flipped_byte_is_found_where_it_is(lane: int):
    missed, elsewhere = [], []
    for number, original in enumerate(TWENTY.lines, start=1):
        before, after = TWENTY.lines[: number - 1], TWENTY.lines[number:]
        for offset in range(lane, len(original), _LANES):
            flip = FLIPS[(number + offset // _LANES) % len(FLIPS)]
            changed = bytearray(original)
            changed[offset] ^= flip
            # A flipped line end joins two lines; a new one makes two of one.
            tail = after if changed.endswith(b"\n") else after[1:]
            joined = bytes(changed) if tail is after else bytes(changed) + b"".join(after[:1])
            code, said = _checked([*before, *_lines(joined), *tail])
            if code == 0:
                missed.append((number, offset, flip))
            elif f"line={number} " not in f"{said} ":
                elsewhere.append((number, offset, flip, said))

    assert missed == []
    assert elsewhere == []


def test_every_flipped_byte_of_the_checkpoint_is_found():
    note = FIFTY.note.encode()
    missed = []
    for offset in range(len(note)):
        for flip in FLIPS:
            changed = bytearray(note)
            changed[offset] ^= flip
            try:
                text = changed.decode()
            except UnicodeDecodeError:
                continue
            if _judge(b"", text)[0] == 0:
                missed.append((offset, flip))

    assert missed == []


def test_a_wrong_hash_is_said_with_its_number_and_chain():
    lines = list(FIFTY.lines)
    lines[17] = lines[17].replace(b'\\"n\\":17', b'\\"n\\":71')

    code, said = _judge(b"".join(lines))

    assert code == 1
    assert said == "FAIL seq=2 chain=a3 line=18 hash mismatch"


def test_the_last_entries_cannot_be_dropped():
    code, said = _judge(b"".join(FIFTY.lines[:-3]))

    assert code == 1
    assert said == "FAIL the export ends after 47 entries, signed were 50"


def test_without_a_checkpoint_dropping_them_would_go_unseen():
    shorter = entries(50)[:-3]

    code, _ = _judge(b"".join(FIFTY.lines[:-3]), sign(shorter))

    assert code == 0


def test_an_entry_cannot_be_rewritten_even_with_a_hash_that_fits():
    forged = entries(50)
    last = forged[48]
    forged[48] = entry_of(
        chain=last.chain, seq=last.seq, prev=last.prev, ts=NOW, event="vote.cast",
        action_id=last.chain, actor_kind="user", actor_id="awa", intent_hash=None, data={"n": 0},
    )  # fmt: skip
    lines = [line(entry, position) for position, entry in enumerate(forged)]

    assert _judge(b"".join(lines)) == (
        1,
        "FAIL the tree of 50 entries has another root than was signed",
    )


def test_entries_cannot_change_places():
    made = entries(50)
    made[10], made[11] = made[11], made[10]
    lines = [line(entry, position) for position, entry in enumerate(made)]

    assert _judge(b"".join(lines)) == (
        1,
        "FAIL the tree of 50 entries has another root than was signed",
    )


def test_a_chain_cannot_miss_an_entry():
    made = entries(50)
    del made[20]
    code, said = _judge(
        b"".join(line(entry, position) for position, entry in enumerate(made)), sign(made)
    )

    assert code == 1
    assert "expected seq=2" in said


def test_a_chain_cannot_have_two_beginnings():
    made = entries(8)
    second = entry_of(
        chain="a0", seq=1, prev=bytes(32), ts=NOW, event="vote.cast", action_id="a0",
        actor_kind="user", actor_id="awa", intent_hash=None, data={},
    )  # fmt: skip
    made[7] = second
    code, said = _judge(
        b"".join(line(entry, position) for position, entry in enumerate(made)), sign(made)
    )

    assert (code, said) == (1, "FAIL seq=1 chain=a0 line=8 does not follow seq=0")


def test_an_older_checkpoint_verifies_a_later_export():
    made = entries(50)

    code, said = _judge(FIFTY.bytes, sign(made[:30]))

    assert code == 0
    assert said.endswith(", 20 not signed yet")


def test_a_newer_checkpoint_only_adds_to_an_older_one():
    made = entries(50)
    old, new = (_signed(Record([], sign(part))) for part in (made[:30], made))

    assert verify.verify_consistent(FIFTY.lines, old, new).entries == 50
    with pytest.raises(verify.Failed, match="the older 50"):
        verify.verify_consistent(FIFTY.lines, new, old)


def test_a_newer_checkpoint_over_a_changed_past_is_found():
    made = entries(50)
    other = entries(30, chains=5)
    old, new = _signed(Record([], sign(other))), _signed(Record([], sign(made)))

    with pytest.raises(verify.Failed, match="tree of 30 entries has another root"):
        verify.verify_consistent(FIFTY.lines, old, new)


def test_old_checkpoints_verify_by_the_old_key_after_it_was_changed():
    made = entries(50)
    old, new = sign(made[:30], SIGNER), sign(made, ANOTHER)
    both = f"{SIGNER.public_key}\n{ANOTHER.public_key}\n"

    assert _judge(FIFTY.bytes, old, both)[0] == 0
    assert _judge(FIFTY.bytes, new, both)[0] == 0
    assert _judge(FIFTY.bytes, new, SIGNER.public_key) == (
        1,
        "FAIL none of the keys signed the checkpoint",
    )


@pytest.mark.parametrize(
    ("note", "pubkey"),
    [
        ("", FIFTY.pubkey),
        ("hello\n", FIFTY.pubkey),
        (FIFTY.note, ""),
        (FIFTY.note, "molam-connect/audit+00000000+AAAA"),
        (FIFTY.note.replace("\N{EM DASH}", "-"), FIFTY.pubkey),
        (FIFTY.note.replace("\n50\n", "\n050\n"), FIFTY.pubkey),
    ],
)
def test_what_is_no_checkpoint_or_key_is_unreadable(note: str, pubkey: str):
    assert _judge(FIFTY.bytes, note, pubkey)[0] == 2


@pytest.mark.parametrize(
    "data",
    [
        b"hello\n",
        b"[]\n",
        b"[" * 100_000 + b"\n",
        b'{"body":"{}"}\n',
        b"\xff\n",
        FIFTY.lines[0].replace(b'"hash"', b'"hash":"","hash"'),
        FIFTY.lines[0].replace(b',"hash"', b', "hash"'),
        FIFTY.lines[0][:-1],
        b"9" * 5000 + b"\n",
    ],
    ids=lambda data: data[:12],
)
def test_what_is_no_export_is_unreadable(data: bytes):
    assert _judge(data)[0] == 2


def test_the_verifier_runs_as_a_copy_without_the_product(tmp_path: Path):
    copy = tmp_path / "molam_audit.py"
    copy.write_bytes(Path(verify.__file__).read_bytes())
    (tmp_path / "e.jsonl").write_bytes(FIFTY.bytes)
    (tmp_path / "cp.txt").write_text(FIFTY.note, encoding="utf-8")
    (tmp_path / "k").write_text(FIFTY.pubkey, encoding="utf-8")

    def run(export: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", copy.name, "--export", export, "--checkpoint", "cp.txt", "--pubkey", "k"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    (tmp_path / "short.jsonl").write_bytes(b"".join(FIFTY.lines[:40]))
    assert (
        "molam."
        not in copy.read_text(encoding="utf-8").split("from __future__")[1].split("ORIGIN")[0]
    )
    assert (run("e.jsonl").returncode, run("short.jsonl").returncode) == (0, 1)
    assert run("absent.jsonl").returncode == 2
    assert run("e.jsonl").stdout.startswith("OK 50 entries, 7 chains")


def test_an_action_can_be_proved_without_the_rest_of_the_record():
    signed = _signed(FIFTY)
    proof = proofs.prove(FIFTY.lines, signed, "a3")
    text = json.dumps(proof, ensure_ascii=False)

    assert proofs.check_proof(text, signed) == len([e for e in entries(50) if e.chain == "a3"])
    with pytest.raises(verify.Failed, match="not in the signed tree"):
        proofs.check_proof(text.replace('\\"n\\":17', '\\"n\\":71'), signed)
    with pytest.raises(verify.Unreadable, match="no checkpoint covers"):
        proofs.prove(FIFTY.lines, signed, "a99")
    with pytest.raises(verify.Unreadable):
        proofs.check_proof('{"entries":[{"position":"x"}]}', signed)


def test_a_private_key_is_read_from_pem_and_from_its_seed():
    seed = base64.b64encode(bytes(range(32))).decode()

    assert Signer(read_key(seed)).public_key == SIGNER.public_key
    for wrong in (
        "",
        "AAAA",
        "not base64!",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    ):
        with pytest.raises(ValueError, match=r"seed|base64|PEM"):
            read_key(wrong)


def _json(value: object) -> str:
    return verify.json.dumps(value, ensure_ascii=False)
