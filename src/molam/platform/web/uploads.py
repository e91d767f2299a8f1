"""Forms that carry a file, read into their fields and the file or refused."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from molam.platform.web.wire import BodyMalformed, MediaTypeRefused

MEDIA_TYPE = "multipart/form-data"
FILE_FIELD = "file"

_FIELDS_MAX = 16
_FIELD_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as a browser sent it; name and type are what the browser says they are."""

    file_name: str
    media_type: str
    content: bytes


class _Parser(MultiPartParser):
    """Tells whether the last boundary came, and closes its files whatever happened."""

    has_ended = False

    def on_end(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        for file in self._files_to_close_on_error:
            file.close()


async def read_upload(request: Request) -> tuple[dict[str, str], Upload | None]:
    """
    Read a form that may carry one file; None if nobody chose one.

    A blank field counts as absent, as in a form without a file.

    Raises:
        MediaTypeRefused: no such form.
        BodyTooLarge: more bytes than the route allows.
        BodyMalformed: a field given twice, too many of them, or a second file.
    """
    given, _, parameters = request.headers.get("content-type", "").partition(";")
    if given.strip().lower() != MEDIA_TYPE or "charset" in parameters.lower():
        raise MediaTypeRefused(f"Send {MEDIA_TYPE}.", accepted=MEDIA_TYPE)
    parser = _Parser(
        request.headers,
        request.stream(),
        max_files=1,
        max_fields=_FIELDS_MAX,
        max_part_size=_FIELD_BYTES_MAX,
    )
    try:
        form = await parser.parse()
        if not parser.has_ended:
            # Half a file must not pass for a whole one.
            raise BodyMalformed("The body ended early.")
        return await _parts(form)
    except MultiPartException as error:
        raise BodyMalformed(f"{error.message.rstrip('.')}.") from None
    except ClientDisconnect:
        raise BodyMalformed("The body ended early.") from None
    finally:
        parser.close()


async def _parts(form: FormData) -> tuple[dict[str, str], Upload | None]:
    fields: dict[str, str] = {}
    upload = None
    pairs = form.multi_items()
    if len({name for name, _ in pairs}) != len(pairs):
        raise BodyMalformed("A field is given twice.")
    for name, value in pairs:
        if isinstance(value, UploadFile):
            if name != FILE_FIELD:
                raise BodyMalformed(f"Send the file in the field {FILE_FIELD!r}.")
            upload = await _file(value)
        elif "\0" in name or "\0" in value:
            raise BodyMalformed("A field holds a NUL character.")
        elif value:
            fields[name] = value
    return fields, upload


async def _file(sent: UploadFile) -> Upload | None:
    content = await sent.read()
    if not sent.filename and not content:
        # What browsers send when nobody chose a file.
        return None
    kind = (sent.content_type or "").partition(";")[0].strip().lower()
    return Upload(sent.filename or "", kind, content)
