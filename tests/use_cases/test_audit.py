"""The audit record in the database: appended, sealed, exported, and not to be changed."""

from __future__ import annotations

import asyncio
import contextvars
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import obstore
import pytest
from click.testing import CliRunner
from obstore.store import LocalStore

from audit_records import ANOTHER, SIGNER
from builders import NOW
from molam.audit import commands, jobs, merkle, proofs, queries, sealer, store, verify
from molam.audit.chain import GENESIS, Entry, Fact, entry_of
from molam.audit.commands import append, append_to
from molam.audit.signing import checkpoint_text
from molam.entrypoints.audit import command
from molam.platform.db import Database, ProcessRole, Query, open_database

ACTION = UUID("019b8c5a-0000-7000-8000-000000000001")
REFUSED = (asyncpg.InsufficientPrivilegeError, asyncpg.RestrictViolationError)


def _entries(count: int, *, action: UUID = ACTION, after: Entry | None = None) -> list[Entry]:
    made = []
    for _ in range(count):
        after = entry_of(
            chain=str(action), seq=after.seq + 1 if after else 0, prev=after.hash if after else GENESIS,
            ts=NOW, event="vote.cast" if after else "action.created", action_id=str(action),
            actor_kind="user", actor_id="awa.diop", intent_hash="ab" * 32, data={"é": [1, None, True]},
            actor_email="awa.diop@example.com",
        )  # fmt: skip
        made.append(after)
    return made


async def _appended(db: Database, entries: list[Entry]) -> list[Entry]:
    async with db.transaction("tests.append") as tx:
        await append(tx, entries)
    return entries


def _ops_fact(n: int = 0) -> Fact:
    return Fact(event="policy.created", actor_kind="user", actor_id="awa.diop", data={"n": n})


async def _exported(db: Database) -> tuple[list[bytes], verify.Checkpoint]:
    checkpoint, keys = await queries.latest_checkpoint(db)
    lines = [each.encode() async for each in queries.export(db, checkpoint)]
    return lines, verify.read_checkpoint(checkpoint.note, verify.read_keys("\n".join(keys)))


async def _sealed_chains(db: Database) -> list[tuple[str, int]]:
    lines, signed = await _exported(db)
    found: list[verify.Entry] = []
    verify.verify(lines, signed, watch=found.append)
    return [(each.body["chain"], each.body["seq"]) for each in found]


async def test_the_columns_beside_the_body_say_what_it_says(ops_db: Database, db: Database):
    (entry,) = await _appended(ops_db, _entries(1))

    async with db.transaction("tests.look") as tx:
        row = await tx.connection.fetchrow("select * from audit.ops_approval_audit")

    assert row is not None
    assert (row["chain"], row["seq"], row["ops_action_id"]) == (str(ACTION), 0, ACTION)
    assert (row["action"], row["actor"]) == ("created", "awa.diop")
    assert (row["snapshot"], row["created_at"]) == ({"é": [1, None, True]}, NOW)
    assert (row["body"], bytes(row["hash"])) == (entry.body, entry.hash)


async def test_two_entries_cannot_have_the_same_place_in_a_chain(ops_db: Database):
    await _appended(ops_db, _entries(2))

    with pytest.raises(asyncpg.UniqueViolationError):
        await _appended(ops_db, _entries(1))


async def test_an_entry_whose_hash_is_not_its_own_is_not_accepted(ops_db: Database):
    (entry,) = _entries(1)

    with pytest.raises(asyncpg.CheckViolationError, match="hash_is_of_body"):
        await _appended(ops_db, [replace(entry, prev=bytes(31) + b"x")])


async def test_a_chain_without_a_row_of_its_own_keeps_its_order_under_contention(ops_db: Database):
    async def add(n: int) -> None:
        async with ops_db.transaction("tests.add") as tx:
            await append_to(tx, "ops", [_ops_fact(n), _ops_fact(n)], at=NOW)

    await asyncio.gather(*(add(n) for n in range(12)))
    await sealer.seal(ops_db, SIGNER)

    assert await _sealed_chains(ops_db) == [("ops", seq) for seq in range(24)]


_CHANGES = [
    f"{verb} audit.{table}{rest}"
    for table in ("ops_approval_audit", "leaves", "nodes", "checkpoints", "checkpoint_keys")
    for verb, rest in [("delete from", ""), ("truncate", " cascade")]
] + [
    "update audit.ops_approval_audit set snapshot = '{}'",
    "update audit.ops_approval_audit set hash = prev",
    "update audit.ops_approval_audit set actor_email = 'other@example.com'",
    "update audit.leaves set position = position + 100",
    "update audit.nodes set hash = hash",
    "update audit.checkpoints set size = 1000",
    "update audit.checkpoint_keys set public_key = ''",
]


@pytest.mark.parametrize("role", [ProcessRole.OPS, ProcessRole.WORKER, ProcessRole.OWNER])
async def test_the_record_can_be_changed_by_nobody(dsn: str, db: Database, role: ProcessRole):
    await _appended(db, _entries(3))
    await sealer.seal(db, SIGNER)
    changer = await open_database(dsn, role, application="tests")

    accepted = [each for each in _CHANGES if await _is_accepted(changer, each)]

    await changer.close()
    assert accepted == []


async def _is_accepted(db: Database, statement: str) -> bool:
    try:
        async with db.transaction("tests.change") as tx:
            await tx.connection.execute(statement)
    except REFUSED:
        return False
    return True


async def test_without_its_triggers_the_owner_could_change_it(db: Database):
    await _appended(db, _entries(3))

    async with db.transaction("tests.change") as tx:
        await tx.connection.execute("drop trigger append_only on audit.ops_approval_audit")
        done = await tx.connection.execute("update audit.ops_approval_audit set snapshot = '{}'")

    assert done == "UPDATE 3"


async def test_whoever_changes_it_with_the_triggers_off_is_found_by_the_verifier(db: Database):
    await _appended(db, _entries(3))
    await sealer.seal(db, SIGNER)
    async with db.transaction("tests.change") as tx:
        await tx.connection.execute("alter table audit.ops_approval_audit disable trigger all")
        await tx.connection.execute(
            "alter table audit.ops_approval_audit drop constraint hash_is_of_body"
        )
        await tx.connection.execute(
            "update audit.ops_approval_audit set body = replace(body, 'awa.diop', 'eve') where seq = 1"
        )

    lines, signed = await _exported(db)

    with pytest.raises(verify.Failed, match=r"seq=1 chain=019b8c5a.* hash mismatch"):
        verify.verify(lines, signed)


async def test_an_entry_committed_after_a_later_one_was_sealed_is_not_lost(
    ops_db: Database, db: Database
):
    first = uuid4()
    async with db.transaction("tests.slow") as slow:
        await append(slow, _entries(1, action=first))
        # The fast one begins later, ends sooner, and is sealed before.
        await _in_own_task(_appended(ops_db, _entries(1)))
        await _in_own_task(sealer.seal(ops_db, SIGNER))
        early = await _in_own_task(_sealed_chains(ops_db))
    await sealer.seal(ops_db, SIGNER)

    assert early == [(str(ACTION), 0)]
    assert await _sealed_chains(ops_db) == [(str(ACTION), 0), (str(first), 0)]


async def test_with_a_careless_mark_it_would_be_lost(
    ops_db: Database, db: Database, monkeypatch: pytest.MonkeyPatch
):
    careless = store.SEEN.sql.replace("pg_snapshot_xmin", "pg_snapshot_xmax")
    monkeypatch.setattr(store, "SEEN", Query(careless, row=store.Seen))
    async with db.transaction("tests.slow") as slow:
        await append(slow, _entries(1, action=uuid4()))
        await _in_own_task(_appended(ops_db, _entries(1)))
        await _in_own_task(sealer.seal(ops_db, SIGNER))
    await sealer.seal(ops_db, SIGNER)

    assert await _sealed_chains(ops_db) == [(str(ACTION), 0)]


async def test_a_chain_stays_in_order_though_its_later_entry_has_the_older_transaction(
    ops_db: Database, db: Database
):
    first, second = _entries(2)
    async with db.transaction("tests.older") as older:
        # It has its transaction id before the first entry is written.
        await older.connection.execute("select pg_current_xact_id()")
        await _in_own_task(_appended(ops_db, [first]))
        await append(older, [second])
    await sealer.seal(ops_db, SIGNER)

    assert await _sealed_chains(ops_db) == [(str(ACTION), 0), (str(ACTION), 1)]


async def test_a_record_restored_into_another_server_is_sealed_on(ops_db: Database, db: Database):
    entries = await _appended(ops_db, _entries(2))
    await sealer.seal(ops_db, SIGNER)
    async with db.transaction("tests.restore") as tx:
        await tx.connection.execute("alter table audit.checkpoints disable trigger append_only")
        await tx.connection.execute(f"update audit.checkpoints set sealed_xid = '{2**60}'")
    await _appended(ops_db, _entries(2, after=entries[-1]))
    await sealer.seal(ops_db, SIGNER)

    assert await _sealed_chains(ops_db) == [(str(ACTION), seq) for seq in range(4)]


async def test_large_backlogs_are_sealed_in_batches(
    ops_db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sealer, "BATCH_MAX", 3)
    await _appended(ops_db, _entries(10))

    checkpoint = await sealer.seal(ops_db, SIGNER)

    assert checkpoint is not None
    assert checkpoint.size == 10
    assert await _sealed_chains(ops_db) == [(str(ACTION), seq) for seq in range(10)]


async def test_sealers_do_not_get_in_each_others_way(ops_db: Database):
    entries: list[Entry] = []
    for _ in range(4):
        more = _entries(1, after=entries[-1] if entries else None)
        entries += await _appended(ops_db, more)
        await asyncio.gather(*(sealer.seal(ops_db, SIGNER) for _ in range(4)))

    assert await _sealed_chains(ops_db) == [(str(ACTION), seq) for seq in range(4)]


async def test_a_tree_that_did_not_grow_is_not_signed_again(ops_db: Database, db: Database):
    await _appended(ops_db, _entries(2))
    first = await sealer.seal(ops_db, SIGNER)
    second = await sealer.seal(ops_db, ANOTHER)

    async with db.transaction("tests.look") as tx:
        count = await tx.connection.fetchval("select count(*) from audit.checkpoints")

    assert first == second
    assert count == 1


async def test_nothing_is_sealed_while_nothing_is_recorded(ops_db: Database):
    assert await sealer.seal(ops_db, SIGNER) is None
    with pytest.raises(queries.NothingSealed):
        await queries.latest_checkpoint(ops_db)


async def test_checkpoints_are_also_kept_where_the_database_is_not(
    worker_db: Database, tmp_path: Path
):
    files = LocalStore(prefix=tmp_path)
    (cron,) = jobs.crons(SIGNER, files)
    await _appended(worker_db, _entries(2))

    await cron.run(worker_db)
    await cron.run(worker_db)

    kept = await (
        await obstore.get_async(files, "audit/checkpoints/000000000002.txt")
    ).bytes_async()
    assert bytes(kept).decode() == (await queries.latest_checkpoint(worker_db))[0].note
    assert len(list((tmp_path / "audit" / "checkpoints").iterdir())) == 1


async def test_a_checkpoint_not_kept_in_time_is_kept_by_the_next_run(
    ops_db: Database, tmp_path: Path
):
    files = LocalStore(prefix=tmp_path)
    await _appended(ops_db, _entries(2))
    await sealer.seal(ops_db, SIGNER)

    (cron,) = jobs.crons(SIGNER, files)
    await cron.run(ops_db)

    assert len(list((tmp_path / "audit" / "checkpoints").iterdir())) == 1


async def test_a_record_that_lost_entries_contradicts_what_is_kept_elsewhere(
    ops_db: Database, tmp_path: Path
):
    files = LocalStore(prefix=tmp_path)
    entries = await _appended(ops_db, _entries(2))
    earlier = await sealer.seal(ops_db, SIGNER)
    assert earlier is not None
    assert await sealer.keep_elsewhere(files, earlier)
    await _appended(ops_db, _entries(2, after=entries[-1]))
    latest = await sealer.seal(ops_db, ANOTHER)
    assert latest is not None
    assert await sealer.keep_elsewhere(files, latest)

    resigned = replace(latest, note=SIGNER.sign(checkpoint_text(4, latest.root)))
    rewritten = replace(latest, note=SIGNER.sign(checkpoint_text(4, bytes(32))))

    assert await sealer.keep_elsewhere(files, resigned)
    assert not await sealer.keep_elsewhere(files, rewritten)
    assert not await sealer.keep_elsewhere(files, earlier)


async def test_a_rotated_key_signs_on_and_the_old_one_still_verifies(ops_db: Database):
    entries = await _appended(ops_db, _entries(3))
    old = await sealer.seal(ops_db, SIGNER)
    await _appended(ops_db, _entries(2, after=entries[-1]))
    new = await sealer.seal(ops_db, ANOTHER)
    lines, _ = await _exported(ops_db)
    _, keys = await queries.latest_checkpoint(ops_db)

    assert old is not None
    assert new is not None
    assert keys == [SIGNER.public_key, ANOTHER.public_key]
    both = verify.read_keys("\n".join(keys))
    older, newer = (verify.read_checkpoint(each.note, both) for each in (old, new))
    assert verify.verify_consistent(lines, older, newer).entries == 5


async def test_the_database_proves_consistency_and_inclusion_by_few_hashes(ops_db: Database):
    entries = await _appended(ops_db, _entries(11))
    old = await sealer.seal(ops_db, SIGNER)
    await _appended(ops_db, _entries(40, after=entries[-1]))
    other = uuid4()
    await _appended(ops_db, _entries(2, action=other))
    await sealer.seal(ops_db, SIGNER)

    latest, proof = await queries.prove_consistent(ops_db, old=11)
    _, included = await queries.prove_included(ops_db, action_id=other)

    assert old is not None
    assert merkle.is_consistent(11, old.root, latest.size, latest.root, proof=proof)
    assert [each.entry.position for each in included] == [51, 52]
    for each in included:
        leaf = merkle.leaf_hash(each.entry.hash)
        about = {"size": latest.size, "proof": each.proof, "root": latest.root}
        assert merkle.is_included(leaf, each.entry.position, **about)
    with pytest.raises(queries.NothingSealed):
        await queries.prove_included(ops_db, action_id=uuid4())
    with pytest.raises(queries.CheckpointAhead):
        await queries.prove_consistent(ops_db, old=latest.size + 1)


async def test_forgetting_a_person_leaves_every_chain_valid(ops_db: Database, db: Database):
    await _appended(ops_db, _entries(2))
    phone = commands.conceal("+221 77 000 00 00", person="awa.diop")
    kept = commands.conceal("+221 77 111 11 11", person="ben")
    async with ops_db.transaction("tests.keep") as tx:
        await commands.keep_personal_values(tx, [phone, kept])
        fact = Fact(event="call.made", actor_kind="user", actor_id="ben", data={"to": phone.shown})
        await append_to(tx, "ops", [fact], at=NOW)

    async with ops_db.transaction("tests.forget") as tx:
        forgotten = await commands.forget(tx, "awa.diop", by="ops", at=NOW)
    await sealer.seal(ops_db, SIGNER)

    async with db.transaction("tests.look") as tx:
        values = await tx.connection.fetch("select value from audit.personal_values")
        emails = await tx.connection.fetchval(
            "select count(actor_email) from audit.ops_approval_audit"
        )
    lines, signed = await _exported(ops_db)
    assert forgotten == 1
    assert [each["value"] for each in values] == ["+221 77 111 11 11"]
    assert emails == 0
    assert verify.verify(lines, signed).entries == 4
    assert b"+221" not in b"".join(lines)
    assert phone.shown.encode() in b"".join(lines)


async def test_the_same_checkpoint_is_exported_as_the_same_bytes(
    ops_db: Database, monkeypatch: pytest.MonkeyPatch
):
    entries = await _appended(ops_db, _entries(7))
    await sealer.seal(ops_db, SIGNER)
    checkpoint, _ = await queries.latest_checkpoint(ops_db)
    once = [each async for each in queries.export(ops_db, checkpoint)]
    await _appended(ops_db, _entries(3, after=entries[-1]))
    await sealer.seal(ops_db, SIGNER)
    monkeypatch.setattr(queries, "_PAGE", 2)

    again = [each async for each in queries.export(ops_db, checkpoint)]

    assert once == again
    assert len(once) == 7


@pytest.fixture
async def exported(
    dsn: str, ops_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """What `molam audit export` writes of a small record."""
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.chdir(tmp_path)
    await _appended(ops_db, _entries(5))
    await sealer.seal(ops_db, SIGNER)
    done = await asyncio.to_thread(CliRunner().invoke, command, ["export", "--out", "e.jsonl"])
    assert done.exit_code == 0, done.output
    assert done.output == "wrote 5 entries to e.jsonl\n"
    return tmp_path / "e.jsonl"


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(command, [*arguments])


_BY = ("--checkpoint", "e.checkpoint", "--pubkey", "e.pubkey")


def test_the_command_verifies_what_it_exported(exported: Path):
    good = _run("verify", "--export", "e.jsonl", *_BY)
    exported.write_bytes(b"".join(exported.read_bytes().splitlines(keepends=True)[:-3]))
    short = _run("verify", "--export", "e.jsonl", *_BY)
    exported.write_bytes(b"nothing\n")
    broken = _run("verify", "--export", "e.jsonl", *_BY)

    assert good.exit_code == 0
    assert good.output.startswith("OK 5 entries, 1 chains, tree 5, root ")
    assert (short.exit_code, broken.exit_code) == (1, 2)
    assert short.output == "FAIL the export ends after 2 entries, signed were 5\n"
    assert _run("verify", "--export", "absent.jsonl", *_BY).exit_code == 2
    assert _run("verify", *_BY).exit_code == 2


def test_the_command_proves_and_checks_an_action(exported: Path):
    proof = _run("prove", "--action", str(ACTION), "--export", "e.jsonl", *_BY)
    Path("p.json").write_text(proof.output, encoding="utf-8")

    checked = _run("verify", "--proof", "p.json", *_BY)

    assert len(json.loads(proof.output)["entries"]) == 5
    assert checked.exit_code == 0
    assert checked.output.startswith("OK 5 entries are in the tree of 5, root ")
    assert _run("prove", "--action", "x", "--export", "e.jsonl", *_BY).exit_code == 2


def test_the_command_checks_consistency_and_explains(exported: Path):
    same = _run("consistency", "--old", "e.checkpoint", "--new", "e.checkpoint",
                "--export", "e.jsonl", "--pubkey", "e.pubkey")  # fmt: skip
    told = _run("explain", "--action", str(ACTION), "--export", "e.jsonl", *_BY)
    unsure = _run("explain", "--action", str(ACTION), "--export", "e.jsonl")

    assert same.exit_code == 0
    assert "only adds to the tree of 5" in same.output
    assert told.exit_code == unsure.exit_code == 0
    assert "It is now: pending" in told.output
    assert "no checkpoint was given" in unsure.output


async def _in_own_task(what: Any) -> Any:
    """Run *what* outside the transaction that is open here."""
    return await asyncio.get_running_loop().create_task(what, context=contextvars.Context())


def test_a_proof_of_another_tree_is_refused():
    with pytest.raises(verify.Unreadable):
        proofs.check_proof("{}", verify.Checkpoint(1, bytes(32)))
