"""Which addresses requests leave for, and how much of an answer is read."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from typing import Any

import pytest

from molam.kernel.refusals import Outage
from molam.platform import egress as egress_module
from molam.platform.db import Database
from molam.platform.egress import (
    ANSWER_BYTES_MAX,
    AddressRefused,
    Egress,
    check_url,
    is_public,
)
from sinks import HttpSink, MailSink, serving


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("196.207.240.1", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fc00::1", False),
        ("fe80::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", False),
        ("2002:7f00:1::", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str, public: bool):
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https://",
        "https://user:pass@example.com/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://[::1",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "nonsense",
    ],
)
async def test_nothing_is_sent_to_a_private_or_odd_address(url: str):
    async with Egress() as egress:
        with pytest.raises(AddressRefused):
            await egress.post(url, body=b"", headers={})


async def test_the_control_in_development_a_private_address_is_reached():
    sink = HttpSink()
    async with serving(sink), Egress(allow_private=True) as egress:
        answer = await egress.post(f"{sink.url}/a?b=c", body=b"hello", headers={"X-One": "1"})

    assert (answer.status, answer.body) == (200, b"ok")
    (posted,) = sink.posts
    assert (posted.path, posted.body, posted.headers["x-one"]) == ("/a?b=c", b"hello", "1")
    assert posted.headers["accept-encoding"] == "identity", "what is packed is not unpacked"
    assert posted.headers["host"] == f"127.0.0.1:{sink.port}"


async def test_a_redirect_is_not_followed():
    other = HttpSink()
    async with serving(other), Egress(allow_private=True) as egress:
        sink = HttpSink(status=302, location=other.url)
        async with serving(sink):
            answer = await egress.post(sink.url, body=b"", headers={})

    assert answer.status == 302
    assert other.posts == []


async def test_an_endless_answer_is_read_to_its_bound():
    sink = HttpSink(flood=10 * ANSWER_BYTES_MAX)
    async with serving(sink), Egress(allow_private=True) as egress:
        answer = await egress.post(sink.url, body=b"", headers={})

    assert len(answer.body) == ANSWER_BYTES_MAX


async def test_a_closed_port_is_an_outage_that_does_not_repeat_the_address():
    async with Egress(allow_private=True) as egress:
        with pytest.raises(Outage) as outage:
            await egress.post("http://127.0.0.1:1/services/CANARY", body=b"", headers={})

    assert "CANARY" not in str(outage.value)


async def test_whoever_never_answers_is_given_up():
    began = time.monotonic()
    mute = MailSink(mute=True)
    async with serving(mute), Egress(allow_private=True, timeout_s=0.3) as egress:
        with pytest.raises(Outage):
            await egress.post(f"http://127.0.0.1:{mute.port}/", body=b"", headers={})

    assert time.monotonic() - began < 5


async def test_nothing_leaves_while_a_transaction_is_open(db: Database):
    async with Egress(allow_private=True) as egress, db.transaction("tests.open") as _:
        with pytest.raises(AssertionError, match=r"inside transaction tests\.open"):
            await egress.post("http://127.0.0.1:1/", body=b"", headers={})


BAD_ADDRESSES = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.9", "192.0.0.170"),
    *("192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.7", "203.0.113.9"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1"),
    *("::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b:1::1", "2001:db8::1"),
    *("2002:7f00:1::1", "2002:a9fe:a9fe::1", "fc00::1", "fe80::1", "fec0::1"),
)
GOOD_ADDRESSES = ("1.1.1.1", "41.82.0.1", "196.207.240.1", "2606:4700::1111", "2a00:1450::1")


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_none_of_the_bad_addresses_is_public(address: str):
    assert len(BAD_ADDRESSES) == 32
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", GOOD_ADDRESSES)
def test_all_of_the_good_addresses_are_public(address: str):
    assert len(GOOD_ADDRESSES) == 5
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("port", ["", ":443", ":8443"])
@pytest.mark.parametrize("host", ["example.com", "xn--caf-dma.example"])
def test_the_usual_ports_are_open_when_ports_are_limited(host: str, port: str):
    ports = frozenset({443, 8443})
    assert egress_module.check_url(f"https://{host}{port}/", ports=ports).hostname == host


@pytest.mark.parametrize("port", [":80", ":22", ":5432", ":6379", ":65535", ":4430"])
def test_any_other_port_is_refused_when_ports_are_limited(port: str):
    with pytest.raises(AddressRefused):
        egress_module.check_url(f"https://example.com{port}/", ports=frozenset({443, 8443}))


@pytest.mark.parametrize(
    "url",
    [
        "https://a..b/",
        "https://" + "a" * 64 + ".example/",
        "https://example.com/\r\nX: y",
        "https://exa mple.com/",
        "https://caf\u00e9.example/",
        "https://@example.com/",
        "https://:pw@example.com/",
        "//example.com/",
        "https:example.com",
        "",
    ],
)
def test_an_address_that_nobody_could_mean_is_refused_before_any_lookup(url: str):
    with pytest.raises(AddressRefused):
        egress_module.check_url(url)


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::1"]])
async def test_every_address_of_a_name_is_checked_and_none_is_connected_to(
    monkeypatch: pytest.MonkeyPatch, answers: list[str]
):
    sink = HttpSink()
    async with serving(sink), Egress() as egress:
        monkeypatch.setattr(socket, "getaddrinfo", _resolving([answers], sink.port))
        with pytest.raises(AddressRefused):
            await egress.post(f"https://shop.example:{sink.port}/", body=b"", headers={})

    assert sink.posts == []
    assert sink.connections == 0


async def test_a_name_that_changes_its_mind_after_the_check_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    sink = HttpSink()
    asked: list[str] = []
    dialled: list[str] = []

    async def dial(_factory: Any, host: str, port: int, **_: Any) -> Any:
        dialled.append(host)
        raise ConnectionRefusedError

    async with serving(sink), Egress() as egress:
        # Public while it is checked, ours from then on.
        lookups = _resolving([["1.1.1.1"], ["127.0.0.1"]], sink.port, asked)
        monkeypatch.setattr(socket, "getaddrinfo", lookups)
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", dial, raising=True)
        with pytest.raises(Outage):
            await egress.post(f"https://shop.example:{sink.port}/", body=b"", headers={})

    assert asked == ["shop.example"]
    assert set(dialled) == {"1.1.1.1"}
    assert sink.connections == 0


async def test_the_control_a_listening_socket_notices_a_connection():
    sink = HttpSink()
    async with serving(sink), Egress(allow_private=True) as egress:
        await egress.post(sink.url, body=b"", headers={})

    assert sink.connections == 1


def _resolving(answers: list[list[str]], port: int, asked: list[str] | None = None) -> Any:
    left = list(answers)

    def look_up(host: str, *_: Any, **__: Any) -> Any:
        if asked is not None:
            asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    return look_up


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]"])
def test_link_local_addresses_are_refused_in_development_too(host: str):
    with pytest.raises(AddressRefused):
        check_url(f"http://{host}/latest", allow_private=True)
