"""The browser files that `make assets` built: their addresses, and how they are served."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Kind, Refusal
from molam.platform.web.caller import PUBLIC, Caller
from molam.platform.web.routes import Routes

BUILT = Path(__file__).parent / "static" / "built"

_MEDIA = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))

# The address holds a hash of the content, so it never needs to be asked for again.
_FOREVER = "public, max-age=31536000, immutable"

routes = Routes()


class AssetsNotBuilt(RuntimeError):
    """The browser files are missing; pages cannot be shown without them."""


class AssetAbsent(Refusal):
    code = "asset-absent"
    kind = Kind.ABSENT
    title = "There is no such file"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, in every encoding it was compressed to."""

    media: str
    digest: str
    plain: bytes
    encoded: tuple[tuple[str, bytes], ...]


@functools.cache
def _assets() -> dict[str, Asset]:
    try:
        manifest = json.loads((BUILT / "manifest.json").read_text())
    except FileNotFoundError:
        raise AssetsNotBuilt(f"{BUILT} is missing; run `make assets`") from None
    return {name: _read(name, digest) for name, digest in manifest["files"].items()}


def _read(name: str, digest: str) -> Asset:
    path = BUILT / name
    encoded = tuple(
        (encoding, path.with_name(name + suffix).read_bytes())
        for encoding, suffix in _ENCODINGS
        if path.with_name(name + suffix).is_file()
    )
    return Asset(_MEDIA[path.suffix], digest, path.read_bytes(), encoded)


@functools.cache
def _icons() -> dict[str, str]:
    icons: dict[str, str] = json.loads((BUILT / "icons.json").read_text())
    return icons


def url(name: str) -> str:
    """Return the address of a built file."""
    return f"/s/{_assets()[name].digest}/{name}"


def icon(name: str) -> Markup:
    """Return an icon as inline SVG, hidden from screen readers: the words beside it say it."""
    return Markup(  # noqa: S704 - from our own build, not from people.
        '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">'
        f"{_icons()[name]}</svg>"
    )


@routes.get("/s/{digest}/{name}", needs=PUBLIC)
async def serve(request: Request, _caller: Caller) -> Response:
    """Serve one built file, compressed as the browser likes best."""
    asset = _assets().get(request.path_params["name"])
    if asset is None or asset.digest != request.path_params["digest"]:
        # An older page may ask for what it was built with. It reloads and finds
        # the new address; the wrong content must not be kept under the old one.
        raise AssetAbsent("Reload the page.")
    headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
    accepted = {
        token.partition(";")[0].strip()
        for token in request.headers.get("accept-encoding", "").split(",")
    }
    for encoding, body in asset.encoded:
        if encoding in accepted:
            headers["Content-Encoding"] = encoding
            return Response(body, media_type=asset.media, headers=headers)
    return Response(asset.plain, media_type=asset.media, headers=headers)
