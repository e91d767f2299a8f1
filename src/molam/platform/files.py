"""Where files are kept: a bucket when one is named, a folder of MOLAM_HOME otherwise."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from molam.kernel.refusals import Outage
from molam.platform.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Config  # Exists for type checkers only.


def open_store(settings: Settings) -> ObjectStore:
    """Return the store the settings name; nothing is contacted yet."""
    if not settings.s3_bucket:
        return LocalStore(prefix=settings.molam_home.absolute() / "files", mkdir=True)
    config: S3Config = {"bucket": settings.s3_bucket, "region": settings.s3_region}
    if settings.aws_access_key_id:
        config["access_key_id"] = settings.aws_access_key_id
        config["secret_access_key"] = settings.aws_secret_access_key.reveal()
    if settings.aws_endpoint_url:
        config["endpoint"] = settings.aws_endpoint_url
    return S3Store(
        config=config,
        client_options={
            "timeout": "10s",
            "allow_http": settings.aws_endpoint_url.startswith("http://"),
        },
        retry_config={"max_retries": 2},
    )


async def check_store(store: ObjectStore) -> None:
    """
    Write, read and delete one small object.

    Raises:
        Outage: one of them failed; the message says which and how.
    """
    path = f"doctor/{secrets.token_hex(8)}"
    try:
        await obstore.put_async(store, path, b"molam")
        kept = await (await obstore.get_async(store, path)).bytes_async()
        await obstore.delete_async(store, path)
    except (BaseError, OSError) as error:
        raise Outage(f"file storage ({str(error).splitlines()[0]})") from error
    if bytes(kept) != b"molam":
        raise Outage("file storage (it returned other bytes than were written)")
