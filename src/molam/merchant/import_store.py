"""Every statement an import runs itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class ImportRow:
    lines_done: int
    rows_loaded: int
    rows_skipped: int
    rows_refused: int
    finished_at: datetime | None


BEGIN_IMPORT = Query(
    """
    /* merchant.begin_import */
    insert into merchant.imports (merchant_id, file_sha256, mapping)
    values (:merchant_id, :sha256, :mapping)
    on conflict (merchant_id, file_sha256, mapping) do nothing
    """,
    row=Nothing,
)

FIND_IMPORT = Query(
    """
    /* merchant.find_import */
    select lines_done, rows_loaded, rows_skipped, rows_refused, finished_at
      from merchant.imports
     where merchant_id = :merchant_id
       and file_sha256 = :sha256
       and mapping = :mapping
    """,
    row=ImportRow,
)

# The old position in the WHERE makes a second import of the same file fail here.
SET_PROGRESS = Query(
    """
    /* merchant.set_import_progress */
    update merchant.imports
       set lines_done = :lines_done,
           rows_loaded = rows_loaded + :loaded,
           rows_skipped = rows_skipped + :skipped,
           rows_refused = rows_refused + :refused,
           finished_at = case when :finished::boolean then now() end,
           updated_at = now()
     where merchant_id = :merchant_id
       and file_sha256 = :sha256
       and mapping = :mapping
       and lines_done = :old_lines_done
       and finished_at is null
    """,
    row=Nothing,
)
