"""What a file is by its bytes, and which name it gets."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.payments.disputes.files import BYTES_MAX, EXTENSIONS, FileRefused, safe_name, sniff


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _png_chunk(b"IHDR", b"\0\0\0\1\0\0\0\1\x08\0\0\0\0")
    + _png_chunk(b"IDAT", zlib.compress(b"\0\0"))
    + _png_chunk(b"IEND", b"")
)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + b"\0" * 40 + b"\xff\xd9"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n"
WEBP = b"RIFF" + struct.pack("<I", 16) + b"WEBPVP8 " + b"\0" * 8
HEIC = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + b"\0" * 32

GOOD = {
    "application/pdf": PDF,
    "image/png": PNG,
    "image/jpeg": JPEG,
    "image/webp": WEBP,
    "image/heic": HEIC,
    "text/plain": "Livré à Élodie, signé le 12.".encode(),
}


def _zip(content: bytes = b"x", *, bomb: bool = False) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"\0" * 50_000_000 if bomb else content)
    return packed.getvalue()


BAD = {
    "empty": b"",
    "too large": b"a" * (BYTES_MAX + 1),
    "zip bomb named pdf": _zip(bomb=True),
    "zip behind a pdf": PDF + _zip(),
    "zip behind a photo": JPEG + _zip(),
    "pdf without its end": b"%PDF-1.7\n" + b"x" * 9000,
    "png with something behind it": PNG + b"<script>alert(1)</script>",
    "png cut short": PNG[:-6],
    "jpeg cut short": JPEG[:20],
    "webp of another length": WEBP + b"\0" * 50,
    "html": b"  \n<!DOCTYPE html><script>alert(1)</script>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "script": b"#!/bin/sh\nrm -rf /\n",
    "program": b"MZ" + b"\0" * 64,
    "text with a NUL": b"hello\0world",
    "text with an escape": b"\x1b[31mred\x1b[0m",
    "latin-1": "Reçu".encode("latin-1"),
    "gif": b"GIF89a" + b"\0" * 30,
    "mp4": struct.pack(">I", 24) + b"ftypisom\0\0\0\0isomiso2" + b"\0" * 32,
    "old office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 64,
}


@pytest.mark.parametrize("media_type", GOOD)
def test_each_kind_is_known_by_its_bytes(media_type: str):
    assert sniff(GOOD[media_type]) == media_type


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_whole_or_not_one_of_them_is_refused(name: str):
    with pytest.raises(FileRefused):
        sniff(BAD[name])


def test_a_photo_with_a_film_behind_it_is_still_a_photo():
    assert sniff(JPEG + struct.pack(">I", 24) + b"ftypmp42" + b"\0" * 64) == "image/jpeg"


@given(st.binary(max_size=4096))
def test_any_bytes_are_named_or_refused(content: bytes):
    with contextlib.suppress(FileRefused):
        assert sniff(content) in EXTENSIONS


NAMES = {
    "../../etc/passwd": "passwd.pdf",
    "..\\..\\windows\\system32\\cmd.exe": "cmd.exe.pdf",
    "reçu n°4.PDF": "reçu n°4.pdf",
    "": "evidence.pdf",
    "....": "evidence.pdf",
    "a\0b.pdf": "a b.pdf",
    "photo\u202efdp.exe": "photofdp.exe.pdf",
    "line\r\nbreak.pdf": "line  break.pdf",
    'a"b<c>.pdf': "a_b_c_.pdf",
    "=cmd|' /C calc'!A0.csv": "C calc'!A0.csv.pdf",
}


@pytest.mark.parametrize("given_name", NAMES)
def test_a_name_is_the_last_part_of_a_path_with_the_extension_of_what_it_is(given_name: str):
    assert safe_name(given_name, "application/pdf") == NAMES[given_name]


@given(st.text(max_size=400), st.sampled_from(sorted(EXTENSIONS)))
def test_any_name_becomes_one_that_fits_and_harms_nobody(name: str, media_type: str):
    safe = safe_name(name, media_type)

    assert 1 <= len(safe) <= 150
    assert safe.endswith(EXTENSIONS[media_type])
    assert not set(safe) & set('/\\\0\r\n"<>:|?*')
