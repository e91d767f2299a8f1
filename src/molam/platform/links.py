"""Links that let whoever holds them fetch or leave one file for a while, without signing in."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

import msgspec
import obstore
from msgspec import Meta
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, S3Store
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from molam.kernel.clock import Clock, Instant
from molam.kernel.refusals import Kind, Outage, Refusal
from molam.platform.settings import Secret
from molam.platform.web import PUBLIC, Caller, Routes
from molam.platform.web.wire import BodyTooLarge

routes = Routes()

Method = Literal["GET", "PUT"]

TTL_S = 3600
TTL_MAX_S = 7 * 24 * 3600
PUT_BYTES_MAX = 10 * 1024 * 1024
"""What a link may allow at most; each link says its own limit."""
OPAQUE = "application/octet-stream"

_CHUNK_BYTES = 256 * 1024
_TIME_LIMIT_S = 60.0
_MAC_BYTES = 32
_TYPE_LENGTH_MAX = 100

# What is in a file was written by strangers: no browser may run any of it as ours.
_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-store",
}


class LinkRefused(Refusal):
    code = "link-refused"
    kind = Kind.FORBIDDEN
    title = "This link is not one of ours"


class LinkExpired(Refusal):
    code = "link-expired"
    kind = Kind.FORBIDDEN
    title = "This link has expired"


class FileAbsent(Refusal):
    code = "file-absent"
    kind = Kind.ABSENT
    title = "The file is gone"


class FileExists(Refusal):
    code = "file-exists"
    kind = Kind.CONFLICT
    title = "A file was left there already"


class FileEmpty(Refusal):
    code = "file-empty"
    kind = Kind.BROKEN_RULE
    title = "The file is empty"


class LinkQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a link is for; the signature before it covers every word."""

    path: Annotated[str, Meta(min_length=1, max_length=1024)]
    expires: Annotated[int, Meta(ge=0, le=2**40, description="Seconds since 1970")]
    name: Annotated[str, Meta(max_length=255)] = ""
    type: Annotated[str, Meta(max_length=_TYPE_LENGTH_MAX)] = OPAQUE
    bytes_max: Annotated[int, Meta(ge=0, le=PUT_BYTES_MAX)] = 0


class LeftView(msgspec.Struct, frozen=True):
    """What was left under a link."""

    ok: bool
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Link:
    url: str
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class Links:
    """
    Makes links to files of *files*, for one app.

    With a bucket they are the bucket's own presigned links; without, they lead to
    ``/files/`` of the app at *origin*.
    """

    files: ObjectStore
    key: Secret
    origin: str
    clock: Clock

    async def sign(
        self,
        path: str,
        *,
        method: Method = "GET",
        ttl_s: int = TTL_S,
        name: str = "",
        media_type: str = OPAQUE,
    ) -> Link:
        """
        Make a link to the file at *path* that works for *ttl_s* seconds.

        A link to leave a file takes up to `PUT_BYTES_MAX` bytes, once. *name* is
        what a browser saves the file as.

        Raises:
            Outage: the bucket's link cannot be made.
        """
        expires_at = self.clock.now() + timedelta(seconds=ttl_s)
        if isinstance(self.files, S3Store):
            return Link(await _presigned(self.files, path, method, ttl_s), expires_at)
        relative = sign(
            LinkQuery(
                path=path,
                expires=int(expires_at.timestamp()),
                name=name,
                type=media_type,
                bytes_max=PUT_BYTES_MAX if method == "PUT" else 0,
            ),
            method=method,
            key=self.key,
        )
        return Link(self.origin + relative, expires_at)


async def _presigned(files: S3Store, path: str, method: Method, ttl_s: int) -> str:
    try:
        url = await obstore.sign_async(files, method, path, timedelta(seconds=ttl_s))
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error
    return str(url)


def sign(wanted: LinkQuery, *, method: Method, key: Secret) -> str:
    """Write the address, from the slash on, of a link of our own."""
    assert ".." not in wanted.path.split("/"), "a link names a file of the store"
    said = {name: value for name, value in msgspec.to_builtins(wanted).items() if value}
    token = base64.urlsafe_b64encode(_mac(wanted, method, key)).decode().rstrip("=")
    return f"/files/{token}?{urlencode(said)}"


def check(token: str, wanted: LinkQuery, *, method: str, key: Secret, now: Instant) -> None:
    """
    Let a link pass that `sign` made for this *method*, until it expires.

    Raises:
        LinkRefused: made up, altered, or meant for another method.
        LinkExpired: it was good until a moment ago.
    """
    expected = base64.urlsafe_b64encode(_mac(wanted, method, key)).rstrip(b"=")
    if not hmac.compare_digest(expected, token.encode()):
        raise LinkRefused("Ask for a new link, and use it unaltered.")
    if now.timestamp() >= wanted.expires:
        raise LinkExpired("Ask for a new link where you got this one.")


def _mac(wanted: LinkQuery, method: str, key: Secret) -> bytes:
    own = hashlib.sha256(b"links\0" + key.reveal().encode()).digest()
    said = msgspec.json.encode([method, *msgspec.structs.astuple(wanted)])
    return hmac.digest(own, said, "sha256")[:_MAC_BYTES]


@routes.get(
    "/files/{token}",
    needs=PUBLIC,
    query=LinkQuery,
    time_limit_s=_TIME_LIMIT_S,
    refuses=(LinkRefused, LinkExpired, FileAbsent),
)
async def fetch(request: Request, _caller: Caller, query: LinkQuery) -> Response:
    """Download the file that a signed link names."""
    links = _checked(request, query, "GET")
    try:
        found = await obstore.get_async(links.files, query.path)
    except FileNotFoundError:
        raise FileAbsent("It was kept for a while and then removed; make it again.") from None
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error
    size = found.meta["size"]

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
            yield bytes(chunk)

    return StreamingResponse(
        chunks(),
        media_type=query.type,
        headers={
            **_HEADERS,
            "Content-Length": str(size),
            "Content-Disposition": attachment(query.name or query.path.rpartition("/")[2]),
        },
    )


@routes.put(
    "/files/{token}",
    needs=PUBLIC,
    query=LinkQuery,
    answers=LeftView,
    status=201,
    body_bytes_max=PUT_BYTES_MAX,
    time_limit_s=_TIME_LIMIT_S,
    refuses=(LinkRefused, LinkExpired, FileExists, FileEmpty),
)
async def leave(request: Request, _caller: Caller, query: LinkQuery) -> LeftView:
    """Upload the file that a signed link asks for: the body is the file. Once."""
    links = _checked(request, query, "PUT")
    content = await request.body()
    if not content:
        raise FileEmpty("Send the file as the body.")
    if len(content) > query.bytes_max:
        limit = query.bytes_max
        raise BodyTooLarge(f"Send at most {limit} bytes.", limit_bytes=limit)
    try:
        # A link that is still good must not change a file somebody has looked at.
        await obstore.put_async(links.files, query.path, content, mode="create")
    except AlreadyExistsError:
        raise FileExists("Ask for a new link to send another file.") from None
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error
    return LeftView(True, len(content), hashlib.sha256(content).hexdigest())


def _checked(request: Request, query: LinkQuery, method: Method) -> Links:
    links = request.app.state.links
    assert isinstance(links, Links)
    token = request.path_params["token"]
    check(token, query, method=method, key=links.key, now=links.clock.now())
    return links


def attachment(name: str) -> str:
    """Write the header that has a browser save a file as *name* instead of showing it."""
    plain = "".join(
        char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in name
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
