"""``molam audit``: export the record, and check an export without the system that wrote it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from molam.audit import proofs, queries, verify
from molam.audit.explain import explain
from molam.entrypoints.local import database, read_settings
from molam.platform.db import ProcessRole, open_database
from molam.platform.settings import Settings

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("audit", no_args_is_help=True)
def command() -> None:
    """Export the record of decisions, verify it, and explain what it says."""


@command.command("verify")
@click.option("--export", type=_FILE, help="What `molam audit export` wrote.")
@click.option("--proof", type=_FILE, help="Instead: what `molam audit prove` or the API gave.")
@click.option("--checkpoint", type=_FILE, required=True, help="A signed checkpoint, old or new.")
@click.option("--pubkey", type=_FILE, required=True, help="The public keys, one a line.")
def verify_command(
    *, export: Path | None, proof: Path | None, checkpoint: Path, pubkey: Path
) -> None:
    """Check every hash, every chain and the tree. Exit code 0: right; 1: wrong; 2: unreadable."""
    if (export is None) == (proof is None):
        raise click.UsageError("give either --export or --proof")

    def check() -> str:
        signed = verify.checkpoint_in(checkpoint, pubkey)
        if export is not None:
            with export.open("rb") as file:
                return str(verify.verify(file, signed))
        assert proof is not None
        proved = proofs.check_proof(verify.text_in(proof), signed)
        return f"OK {proved} entries are in the tree of {signed.size}, root {signed.root.hex()}"

    _end(check)


@command.command("prove")
@click.option("--action", "action_id", required=True, help="The action's id.")
@click.option("--export", type=_FILE, required=True, help="What `molam audit export` wrote.")
@click.option("--checkpoint", type=_FILE, required=True, help="A signed checkpoint, old or new.")
@click.option("--pubkey", type=_FILE, required=True, help="The public keys, one a line.")
def prove_command(*, action_id: str, export: Path, checkpoint: Path, pubkey: Path) -> None:
    """Print a proof that each entry of an action is in the signed tree."""

    def check() -> str:
        signed = verify.checkpoint_in(checkpoint, pubkey)
        with export.open("rb") as file:
            return json.dumps(proofs.prove(file, signed, action_id), ensure_ascii=False, indent=1)

    _end(check)


@command.command("consistency")
@click.option("--old", type=_FILE, required=True, help="The older checkpoint.")
@click.option("--new", type=_FILE, required=True, help="The newer checkpoint.")
@click.option("--export", type=_FILE, required=True, help="An export of the newer one or later.")
@click.option("--pubkey", type=_FILE, required=True, help="The public keys, one a line.")
def consistency_command(*, old: Path, new: Path, export: Path, pubkey: Path) -> None:
    """Check that nothing the older checkpoint held was changed or taken away since."""

    def check() -> str:
        older, newer = (verify.checkpoint_in(each, pubkey) for each in (old, new))
        with export.open("rb") as file:
            summary = verify.verify_consistent(file, older, newer)
        return f"{summary}, which only adds to the tree of {older.size}"

    _end(check)


@command.command("explain")
@click.option("--action", "action_id", required=True, help="The action's id.")
@click.option("--export", type=_FILE, required=True, help="What `molam audit export` wrote.")
@click.option("--checkpoint", type=_FILE, help="Verify the export first, by this checkpoint.")
@click.option("--pubkey", type=_FILE, help="The public keys, one a line.")
def explain_command(
    *, action_id: str, export: Path, checkpoint: Path | None, pubkey: Path | None
) -> None:
    """Tell why an action was approved, or not, from an export alone."""
    if (checkpoint is None) != (pubkey is None):
        raise click.UsageError("give both --checkpoint and --pubkey, or neither")

    def check() -> str:
        found: list[verify.Entry] = []
        with export.open("rb") as file:
            if checkpoint is None or pubkey is None:
                found.extend(verify.read_entries(file))
                said = "The hash of each entry is right; no checkpoint was given to verify them by."
            else:
                signed = verify.checkpoint_in(checkpoint, pubkey)
                said = str(verify.verify(file, signed, watch=found.append))
        bodies = [each.body for each in found if each.body["action_id"] == action_id]
        if not bodies:
            raise verify.Unreadable(
                f"the export holds nothing of action {action_id}: export again in a minute"
            )
        return "\n".join([*explain(bodies), said])

    _end(check)


@command.command("export")
@click.option("--out", type=_FILE, required=True, help="Where to write; e.jsonl, for instance.")
def export_command(*, out: Path) -> None:
    """Write every sealed entry; beside it the checkpoint (.checkpoint) and the keys (.pubkey)."""
    with database(read_settings()) as settings:
        click.echo(asyncio.run(_export(settings, out)))


async def _export(settings: Settings, out: Path) -> str:
    db = await open_database(settings.database_dsn, ProcessRole.OPS, application="molam audit")
    try:
        checkpoint, keys = await queries.latest_checkpoint(db)
        with out.open("w", encoding="utf-8", newline="\n") as file:
            async for line in queries.export(db, checkpoint):
                file.write(line)
    finally:
        await db.close()
    for suffix, text in ((".checkpoint", checkpoint.note), (".pubkey", "\n".join(keys) + "\n")):
        out.with_suffix(suffix).write_text(text, encoding="utf-8", newline="\n")
    return f"wrote {checkpoint.size} entries to {out}"


def _end(check: Callable[[], str]) -> None:
    code, said = verify.judged(check)
    click.echo(said, err=code != verify.OK)
    sys.exit(code)
