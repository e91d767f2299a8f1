"""Parts of pages as live streams send them: cut out of one template, put in by htmx."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

_UNIT, _RECORD = "\x1f", "\x1e"

Swap = Literal["innerHTML", "outerHTML", "afterbegin", "delete"]


def regions(text: str) -> dict[str, str]:
    """Take apart what a live template wrote: regions by the id of their element."""
    return dict(
        region.lstrip().split(_UNIT, 1) for region in text.split(_RECORD) if _UNIT in region
    )


def partial(id_: str, swap: Swap, html: str) -> str:
    """Write one fragment for htmx: where it goes, and how."""
    return f'<hx-partial hx-target="#{id_}" hx-swap="{swap}">{html}</hx-partial>'


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Write the regions that are not as they were."""
    return "\n".join(
        partial(id_, "innerHTML", html) for id_, html in after.items() if before.get(id_) != html
    )
