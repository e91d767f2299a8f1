"""What a file is by its bytes, whatever it says of itself; and a name it may safely have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import puremagic

from molam.kernel.refusals import Kind, Refusal
from molam.kernel.shown import plain

BYTES_MAX = 10 * 1024 * 1024
FILES_MAX = 20
TOTAL_BYTES_MAX = 50 * 1024 * 1024
NAME_LENGTH_MAX = 120

EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "application/pdf": ".pdf",
        "image/png": ".png",
        "image/jpeg": ".jpg",
        "image/webp": ".webp",
        "image/heic": ".heic",
        "text/plain": ".txt",
    }
)
ACCEPT = ",".join([*EXTENSIONS, *EXTENSIONS.values(), ".jpeg"])
"""For a page's file field; browsers hide other files, and nobody relies on it."""

_PDF_END_WITHIN = 4096
_ZIP_END = b"PK\x05\x06"
_ZIP_END_WITHIN = 22 + 65_535
_SURE = 0.5
_WEBP_BYTES_MIN = 20
_FTYP_BYTES_MIN = 16
_PNG_START = b"\x89PNG\r\n\x1a\n"
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
# What a browser or a system might run if it were handed the text as something else.
_MARKUP = (
    b"<!doctype html",
    b"<html",
    b"<script",
    b"<svg",
    b"<?xml",
    b"<?php",
    b"#!",
    b"mz",
    b"%pdf",
)


class FileRefused(Refusal):
    code = "dispute-file-refused"
    kind = Kind.BROKEN_RULE
    title = "This file cannot be evidence"


def sniff(content: bytes) -> str:
    """
    Tell the media type of *content* from its bytes alone.

    Raises:
        FileRefused: empty, too large, damaged, two kinds at once, or of a kind not taken.
    """
    if not content:
        raise FileRefused("The file is empty.")
    if len(content) > BYTES_MAX:
        raise FileRefused(f"A file has at most {BYTES_MAX} bytes.", limit_bytes=BYTES_MAX)
    # An archive's directory is at its end, so that it can hide behind any beginning.
    if _ZIP_END in content[-_ZIP_END_WITHIN:] or content.startswith(b"PK\x03\x04"):
        raise FileRefused("It is an archive, or holds one. Send the documents one by one.")
    for media_type, is_one in _CHECKS.items():
        if is_one(content):
            return media_type
    raise FileRefused(
        "Send a PDF, a photo (JPEG, PNG, WebP, HEIC) or plain text; the file is none of them,"
        " or is damaged."
    )


def _is_pdf(content: bytes) -> bool:
    return content.startswith(b"%PDF-") and b"%%EOF" in content[-_PDF_END_WITHIN:]


def _is_png(content: bytes) -> bool:
    """Walk the chunks: nothing may follow the last, where other files hide."""
    if not content.startswith(_PNG_START + b"\0\0\0\rIHDR"):
        return False
    at = len(_PNG_START)
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        kind = content[at + 4 : at + 8]
        at += 12 + length
        if kind == b"IEND":
            return at == len(content)
    return False


def _is_jpeg(content: bytes) -> bool:
    # Phones put a short film behind some photos, so the picture may end before the file.
    return content.startswith(b"\xff\xd8\xff") and b"\xff\xd9" in content[4:]


def _is_webp(content: bytes) -> bool:
    if (
        not content.startswith(b"RIFF")
        or content[8:12] != b"WEBP"
        or len(content) < _WEBP_BYTES_MIN
    ):
        return False
    length = int.from_bytes(content[4:8], "little")
    return len(content) in {length + 8, length + 9}


def _is_heic(content: bytes) -> bool:
    if content[4:8] != b"ftyp" or len(content) < _FTYP_BYTES_MIN:
        return False
    length = int.from_bytes(content[:4])
    brands = {content[8:12], *(content[at : at + 4] for at in range(16, min(length, 256), 4))}
    return _FTYP_BYTES_MIN <= length < len(content) and bool(brands & _HEIC_BRANDS)


def _is_text(content: bytes) -> bool:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    if any(char < " " and char not in "\t\r\n\f" for char in text):
        return False
    return not content.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP) and not _known(
        content
    )


def _known(content: bytes) -> bool:
    """Ask for a second opinion on what looks like text: some formats begin with letters."""
    try:
        found = puremagic.magic_string(content)
    except puremagic.PureError:
        return False
    # A weak guess is two letters that happen to begin a sentence.
    return any(
        each.confidence >= _SURE and each.mime_type and not each.mime_type.startswith("text/")
        for each in found[:1]
    )


_CHECKS: Mapping[str, Callable[[bytes], bool]] = MappingProxyType(
    {
        "application/pdf": _is_pdf,
        "image/png": _is_png,
        "image/jpeg": _is_jpeg,
        "image/webp": _is_webp,
        "image/heic": _is_heic,
        "text/plain": _is_text,
    }
)
assert _CHECKS.keys() == EXTENSIONS.keys()


def safe_name(given: str, media_type: str) -> str:
    """
    Make of whatever a browser calls a file a name to show and to save it by.

    Only the last part of a path remains, and the extension is that of what it is.
    """
    last = given.replace("\\", "/").rpartition("/")[2]
    shown = plain(last, NAME_LENGTH_MAX).strip(" .")
    stem, dot, end = shown.rpartition(".")
    extension = EXTENSIONS[media_type]
    same = {extension[1:], "jpeg" if extension == ".jpg" else extension[1:]}
    if dot and end.lower() in same:
        shown = stem.strip(" .")
    cleaned = "".join("_" if char in '<>:"|?*' else char for char in shown)
    return (cleaned or "evidence") + extension
