"""Loads a merchant's own history from CSV: figures and lists only, never money that moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.merchant import commands, import_store
from molam.merchant.import_lines import Line, Sheet, lines, open_sheet
from molam.merchant.import_rows import Fact, Plan, RowRefused, RowSkipped, fit, read, read_mapping
from molam.payments import commands as payments
from molam.platform.db import Database
from molam.tenancy import queries as tenancy

CHUNK_FACTS = 500
CHUNK_LINES = 5_000
"""A chunk ends here even if its lines hold few facts, so that progress is kept."""


class ImportElsewhere(Refusal):
    code = "import-elsewhere"
    kind = Kind.CONFLICT
    title = "Somebody else is importing this file"


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told while an import runs."""

    refused: Callable[[int, str], None] = lambda _line, _reason: None
    """Each rejected line: its number, and why."""
    progress: Callable[[int, int], None] = lambda _done, _all: None
    """Bytes of the file that are done, and all of them."""


@dataclass(slots=True)
class Report:
    """What is in the file, and what became of it."""

    lines: int = 0
    facts: int = 0
    loaded: int = 0
    """Facts that are new; the others were known already."""
    refused: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """How many rows were left out, by the reason."""
    sums: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Minor units that moved, by (payment or refund, currency)."""
    finished_before: bool = False


@dataclass(slots=True)
class _Chunk:
    facts: list[Fact] = field(default_factory=list)
    skipped: int = 0
    refused: int = 0
    first_line: int = 0
    last_line: int = 0
    bytes_done: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.facts) >= CHUNK_FACTS or self.last_line - self.first_line >= CHUNK_LINES


@dataclass(frozen=True, slots=True)
class _Source:
    """One file, how to read it, and whom to tell."""

    sheet: Sheet
    plan: Plan
    now: Instant
    watch: Watch


async def rehearse(
    db: Database,
    *,
    path: Path,
    merchant_id: str,
    mapping: str | None,
    now: Instant,
    watch: Watch | None = None,
) -> Report:
    """
    Say what `load` would make of a CSV file, and load nothing.

    Raises:
        MerchantAbsent, MappingMalformed, FileMalformed: as `load` does.
    """
    plan, sheet = await _prepare(db, path, merchant_id, mapping)
    source = _Source(sheet, plan, now, watch or Watch())
    report = Report()
    for chunk in _chunks(source, report, after_line=0):
        source.watch.progress(chunk.bytes_done, sheet.bytes)
    return report


async def load(
    db: Database,
    *,
    path: Path,
    merchant_id: str,
    mapping: str | None,
    now: Instant,
    watch: Watch | None = None,
) -> Report:
    """
    Import a CSV file.

    Good lines load and bad ones are told to *watch*. Each chunk commits together
    with the line it ends at, so a killed import goes on there, and a file that
    is done is not loaded again.

    Raises:
        MerchantAbsent: nobody registered this merchant.
        MappingMalformed: the mapping is unusable, or does not fit the file.
        FileMalformed: the file is unusable as a whole.
        ImportElsewhere: the same file is being imported by another process.
    """
    plan, sheet = await _prepare(db, path, merchant_id, mapping)
    source = _Source(sheet, plan, now, watch or Watch())
    report = Report()
    done = await _begin(db, plan, sheet)
    report.loaded = done.rows_loaded
    if done.finished_at is not None:
        return Report(loaded=done.rows_loaded, refused=done.rows_refused, finished_before=True)
    position = done.lines_done
    for chunk in _chunks(source, report, after_line=position):
        report.loaded += await _load_chunk(db, source, chunk, position=position)
        position = chunk.last_line
        source.watch.progress(chunk.bytes_done, sheet.bytes)
    await _load_chunk(db, source, _Chunk(last_line=position), position=position, is_last=True)
    source.watch.progress(sheet.bytes, sheet.bytes)
    return report


async def _prepare(
    db: Database, path: Path, merchant_id: str, mapping: str | None
) -> tuple[Plan, Sheet]:
    merchant = await tenancy.get_merchant(db, merchant_id)
    name, rules = read_mapping(mapping)
    sheet = open_sheet(path)
    plan = fit(
        name,
        rules,
        sheet.columns,
        merchant_id=merchant_id,
        default_currency=merchant.default_currency,
    )
    return plan, sheet


async def _begin(db: Database, plan: Plan, sheet: Sheet) -> import_store.ImportRow:
    key = {"merchant_id": plan.merchant_id, "sha256": sheet.sha256, "mapping": plan.name}
    async with db.transaction("merchant.begin_import") as tx:
        await tx.run(import_store.BEGIN_IMPORT, **key)
        row = await tx.one(import_store.FIND_IMPORT, **key)
    assert row is not None
    return row


async def _load_chunk(
    db: Database, source: _Source, chunk: _Chunk, *, position: int, is_last: bool = False
) -> int:
    """Store and count a chunk and move the import's position, all or nothing."""
    rows = f"[{','.join(fact.data for fact in chunk.facts)}]"
    async with db.transaction("merchant.load_chunk") as tx:
        loaded = 0
        if chunk.facts:
            loaded = await payments.store_imported(tx, rows)
            await commands.count_imported(tx, rows)
        moved = await tx.run(
            import_store.SET_PROGRESS,
            merchant_id=source.plan.merchant_id,
            sha256=source.sheet.sha256,
            mapping=source.plan.name,
            old_lines_done=position,
            lines_done=chunk.last_line,
            loaded=loaded,
            skipped=chunk.skipped,
            refused=chunk.refused,
            finished=is_last,
        )
        if moved == 0:
            raise ImportElsewhere("Wait for it to end, then import again to see the result.")
    return loaded


def _chunks(source: _Source, report: Report, *, after_line: int) -> Iterator[_Chunk]:
    """
    Read the file into chunks of what comes after *after_line*.

    The lines before are read as well: the report covers the whole file, and an id
    may be repeated from any of them.
    """
    seen: dict[int, int] = {}
    chunk = _Chunk(first_line=after_line, last_line=after_line)
    for line, bytes_done in lines(source.sheet):
        report.lines += 1
        is_new = line.number > after_line
        try:
            fact = _fact(source, line, seen)
        except RowSkipped as skipped:
            report.skipped[str(skipped)] += 1
            chunk.skipped += is_new
        except Refusal as refusal:
            report.refused += 1
            chunk.refused += is_new
            source.watch.refused(line.number, refusal.detail)
        else:
            report.facts += 1
            if fact.counts:
                report.sums[fact.type, fact.currency] += fact.amount
            if is_new:
                chunk.facts.append(fact)
        if is_new:
            chunk.last_line = line.number
            chunk.bytes_done = bytes_done
            if chunk.is_full:
                yield chunk
                chunk = _Chunk(first_line=line.number, last_line=line.number)
    if chunk.last_line > chunk.first_line:
        yield chunk


def _fact(source: _Source, line: Line, seen: dict[int, int]) -> Fact:
    if line.refused is not None:
        raise RowRefused(f"The line cannot be read: {line.refused}.")
    fact = read(source.plan, line.cells, source.now)
    key = _digest(f"{fact.type}/{fact.id}")
    content = _digest(fact.data)
    before = seen.setdefault(key, content << 32 | line.number)
    if before & 0xFFFF_FFFF != line.number:
        if before >> 32 == content:
            raise RowSkipped("repeated line")
        raise RowRefused(
            f"Line {before & 0xFFFF_FFFF} has the same id with other content; the first one counts."
        )
    return fact


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
