"""Which addresses requests leave for, and how much of an answer is read."""

from __future__ import annotations

import ipaddress
import time

import pytest

from molam.kernel.refusals import Outage
from molam.platform.db import Database
from molam.platform.egress import ANSWER_BYTES_MAX, AddressRefused, Egress, is_public
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
        ("64:ff9b::808:808", True),
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
