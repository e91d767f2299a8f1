"""The merchant app as wiring mounts it: every route of the API and of the pages."""

from __future__ import annotations

from molam.merchant import endpoints, live, pages, stream

ALL = (
    endpoints.routes,
    stream.routes,
    pages.routes,
    live.routes,
)
