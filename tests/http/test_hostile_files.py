"""Hostile files and forms at the door for evidence: refused, or kept as what they are."""

from __future__ import annotations

import io
import zipfile

import httpx2
import pytest
from shops import World

from disputing import PDF
from molam.platform.auth import AAL2


def tell(world: World) -> dict[str, str]:
    return world.headers("merchant_admin", acr=AAL2)


def a_bomb(name: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"\0" * (64 << 20))
    return held.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("../../x.pdf", a_bomb("word/document.xml")),
        ("x.pdf", b""),
        ("x.pdf", b"MZ" + b"\0" * 600),
        ("x.png", b"<svg onload=alert(1)>"),
        ("x.jpg", b"<!doctype html><script>alert(1)</script>"),
        ("x.pdf", b"#!/bin/sh\n" + PDF),
    ],
)
async def test_a_file_that_is_not_what_it_says_is_no_evidence(
    client: httpx2.AsyncClient, world: World, name: str, content: bytes
):
    answer = await client.post(
        "/api/merchant/disputes/dp_own/evidence",
        headers=tell(world),
        files={"file": (name, content, "application/pdf")},
    )

    assert answer.status_code in {400, 415, 422}, answer.text


@pytest.mark.parametrize("name", ["../../x.pdf", "..\\..\\x.pdf", "a/b/c.pdf", "\u202efdp.exe"])
async def test_a_files_name_leads_nowhere(client: httpx2.AsyncClient, world: World, name: str):
    answer = await client.post(
        "/api/merchant/disputes/dp_own/evidence",
        headers=tell(world),
        files={"file": (name, PDF + name.encode(), "application/pdf")},
    )

    assert answer.status_code in {200, 201}, answer.text
    kept = answer.text
    assert "../" not in kept
    assert "..\\" not in kept
    assert "\u202e" not in kept


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b"--x--\r\n",
        b"--x\r\n\r\n\r\n--x--",
        b"--x\r\nContent-Disposition: form-data\r\n\r\nv\r\n--x--",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nv',
        b'--x\r\nContent-Disposition: form-data; name="\xff\x00"\r\n\r\nv\r\n--x--\r\n',
        b"--x\r\n" + b"A: b\r\n" * 2_000 + b"\r\nv\r\n--x--\r\n",
        b"--x\r\n:::\r\n\r\nv\r\n--x--\r\n",
    ],
)
@pytest.mark.parametrize("media", ["multipart/form-data; boundary=x", "multipart/form-data"])
async def test_a_broken_form_is_refused(
    client: httpx2.AsyncClient, world: World, body: bytes, media: str
):
    answer = await client.post(
        "/api/merchant/disputes/dp_own/evidence",
        content=body,
        headers={**tell(world), "Content-Type": media},
    )

    assert answer.status_code in {400, 415, 422}, answer.text


async def test_evidence_of_another_dispute_looks_absent(client: httpx2.AsyncClient, world: World):
    theirs, mine = world.objects["evidence", "other"], world.objects["evidence", "own"]
    for dispute, file in (("dp_own", theirs), ("dp_other", mine), ("dp_absent", mine)):
        for method in ("GET", "DELETE"):
            answer = await client.request(
                method, f"/api/merchant/disputes/{dispute}/evidence/{file}", headers=tell(world)
            )
            assert answer.status_code == 404
