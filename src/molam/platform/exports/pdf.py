"""Documents, set by typst from a template of ours and data that is never taken for markup."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

import msgspec
import typst

# Tags describe a document to screen readers; from some length on they cost more than
# the document, in bytes and in memory.
TAGGED_ROWS_MAX = 500


def write_pdf(
    template: Path, data: dict[str, object], target: Path, *, made_at: datetime, rows: int
) -> None:
    """
    Write the document that *template* makes of *data*, as PDF/A.

    The same data give the same bytes: *made_at* is the only time in it, and fonts are
    those that come with typst, whatever the machine has.
    """
    with tempfile.TemporaryDirectory(prefix="molam-pdf-") as folder:
        root = Path(folder)
        (root / "data.json").write_bytes(msgspec.json.encode(data))
        for each in template.parent.glob("*.typ"):
            (root / each.name).write_bytes(each.read_bytes())
        compiler = typst.Compiler(
            root / template.name, root=root, ignore_system_fonts=True, sys_inputs={}
        )
        compiler.compile(
            output=target,
            format="pdf",
            pdf_standards=["a-2b"],
            timestamp=int(made_at.timestamp()),
            pdf_tags=rows <= TAGGED_ROWS_MAX,
        )
