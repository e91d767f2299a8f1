"""Which bearer tokens are believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from callers import AUDIENCE, ISSUER, claims
from joserfc import jwt
from joserfc.jwk import RSAKey

from molam.kernel.clock import ManualClock
from molam.kernel.refusals import Outage
from molam.platform.auth.jwks import Jwks
from molam.platform.auth.tokens import TokenRefused, Tokens
from molam.simulator.issuer_keys import IssuerKeys

URL = f"{ISSUER}/.well-known/jwks.json"


class Publisher:
    """An issuer's JWKS endpoint whose answer a test may change, and which counts."""

    def __init__(self, *keys: RSAKey) -> None:
        self.keys = list(keys)
        self.is_up = True
        self.asked = 0
        self.monotonic_s = 1000.0

    def answer(self, _request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if not self.is_up:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(
            200, json={"keys": [key.as_dict(private=False) for key in self.keys]}
        )

    def tokens(self) -> Tokens:
        client = httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer))
        jwks = Jwks(URL, client, monotonic=lambda: self.monotonic_s)
        self.clock = ManualClock(datetime.now(UTC))
        return Tokens(jwks, issuer=ISSUER, audience=AUDIENCE, clock=self.clock)


def a_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


OLD, NEW, STRANGER = a_key("2026-11"), a_key("2026-12"), a_key("stranger")


def sign(key: RSAKey, header: dict[str, Any] | None = None, **changed: object) -> str:
    head = {"alg": "RS256", "kid": key.kid, "typ": "at+jwt", **(header or {})}
    return jwt.encode(
        {name: value for name, value in head.items() if value is not None},
        claims(**changed),
        key,
        default_type=None,
    )


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(TokenRefused) as caught:
        await tokens.verify(token)
    return caught.value.detail


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", None])
async def test_a_genuine_token_is_believed(typ: str | None):
    identity = await Publisher(OLD).tokens().verify(sign(OLD, {"typ": typ}))

    assert (identity.sub, identity.merchant_id) == ("awa.diop", "merchant-123")
    assert identity.roles == ("merchant_admin",)


@pytest.mark.parametrize("typ", ["id+jwt", "logout+jwt", "dpop+jwt", "", "jwt2"])
async def test_a_token_of_another_type_is_refused(typ: str):
    await refused(Publisher(OLD).tokens(), sign(OLD, {"typ": typ}))


async def test_alg_none_is_refused():
    for alg in ("none", "None", "NONE", ""):
        token = f"{part({'alg': alg, 'kid': OLD.kid, 'typ': 'at+jwt'})}.{part(claims())}."

        await refused(Publisher(OLD).tokens(), token)


async def test_the_public_key_is_no_hmac_secret():
    pem = OLD.as_pem(private=False)
    signed = f"{part({'alg': 'HS256', 'kid': OLD.kid, 'typ': 'at+jwt'})}.{part(claims())}"
    mac = hmac.digest(pem, signed.encode(), hashlib.sha256)
    token = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    assert "algorithm" in await refused(Publisher(OLD).tokens(), token)


async def test_another_rsa_algorithm_is_refused():
    private = {name: value for name, value in OLD.as_dict(private=True).items() if name != "alg"}
    key = RSAKey.import_key(private)
    token = jwt.encode({"alg": "RS512", "kid": OLD.kid}, claims(), key, algorithms=["RS512"])

    assert "algorithm" in await refused(Publisher(OLD).tokens(), token)


async def test_a_key_carried_in_the_header_is_not_used():
    token = sign(
        STRANGER, {"kid": OLD.kid, "jwk": STRANGER.as_dict(private=False), "jku": "https://evil/"}
    )

    assert "signature" in await refused(Publisher(OLD).tokens(), token)


@pytest.mark.parametrize("kid", ["../../dev/null", "' or 1=1 --", "", "2026-11\0", None])
async def test_a_kid_names_a_published_key_and_nothing_else(kid: str | None):
    await refused(Publisher(OLD).tokens(), sign(OLD, {"kid": kid}))


async def test_a_critical_header_we_do_not_know_is_refused():
    token = jwt.encode(
        {"alg": "RS256", "kid": OLD.kid, "typ": "at+jwt"}, claims(), OLD, default_type=None
    )
    head = part({"alg": "RS256", "kid": OLD.kid, "crit": ["exp"], "exp": 1})

    await refused(Publisher(OLD).tokens(), f"{head}.{token.partition('.')[2]}")


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
        {"iss": [ISSUER]},
        {"iss": None},
        {"aud": "another-api"},
        {"aud": ["a", "b"]},
        {"aud": None},
        {"aud": {AUDIENCE: True}},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": 1e300},
        {"sub": ""},
        {"sub": None},
        {"sub": 7},
        {"sub": "x" * 256},
        {"roles": "merchant_admin"},
        {"merchant_id": 7},
        {"nbf": "soon"},
    ],
    ids=lambda changed: repr(changed).replace(ISSUER, "ISSUER"),
)
async def test_a_token_with_a_wrong_claim_is_refused(changed: dict[str, object]):
    await refused(Publisher(OLD).tokens(), sign(OLD, **changed))


async def test_an_audience_among_several_is_accepted():
    identity = await Publisher(OLD).tokens().verify(sign(OLD, aud=["other", AUDIENCE]))

    assert identity.sub == "awa.diop"


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "." * 2, "e30.e30.", "x" * 10_000]
)
async def test_what_is_no_token_is_refused(token: str):
    await refused(Publisher(OLD).tokens(), token)


async def test_every_changed_byte_of_the_claims_breaks_the_signature():
    head, body, signature = sign(OLD).split(".")
    forged = part({**json.loads(base64.urlsafe_b64decode(body + "==")), "sub": "cfo"})

    assert "signature" in await refused(Publisher(OLD).tokens(), f"{head}.{forged}.{signature}")


async def test_expiry_has_ten_seconds_of_leeway_and_no_more():
    publisher = Publisher(OLD)
    tokens = publisher.tokens()
    now = publisher.clock.now()
    token = sign(OLD, exp=int(now.timestamp()) + 100)

    publisher.clock.set(now + timedelta(seconds=108))
    await tokens.verify(token)
    publisher.clock.set(now + timedelta(seconds=111))

    assert "expired" in await refused(tokens, token)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_from_the_future_has_ten_seconds_of_leeway_and_no_more(claim: str):
    publisher = Publisher(OLD)
    tokens = publisher.tokens()
    now = int(publisher.clock.now().timestamp())

    await tokens.verify(sign(OLD, **{claim: now + 9}))

    assert "not valid yet" in await refused(tokens, sign(OLD, **{claim: now + 12}))


async def test_a_key_published_later_is_found():
    publisher = Publisher(OLD)
    tokens = publisher.tokens()
    await tokens.verify(sign(OLD))

    publisher.keys = [NEW, OLD]
    publisher.monotonic_s += 11
    await tokens.verify(sign(NEW))

    assert publisher.asked == 2


async def test_unknown_kids_make_us_ask_at_most_every_ten_seconds():
    publisher = Publisher(OLD)
    tokens = publisher.tokens()
    await tokens.verify(sign(OLD))

    for second in range(20):
        publisher.monotonic_s += 1
        await refused(tokens, sign(STRANGER, {"kid": f"made-up-{second}"}))

    assert publisher.asked == 3


async def test_a_withdrawn_key_takes_its_remembered_tokens_with_it():
    publisher = Publisher(OLD, NEW)
    tokens = publisher.tokens()
    token = sign(OLD)
    await tokens.verify(token)

    publisher.keys = [NEW]
    publisher.monotonic_s += 301
    await tokens.verify(sign(NEW))

    assert "does not publish" in await refused(tokens, token)


async def test_a_replaced_key_of_the_same_name_is_noticed():
    publisher = Publisher(OLD)
    tokens = publisher.tokens()
    token = sign(OLD)
    await tokens.verify(token)

    replaced = a_key(str(OLD.kid))
    publisher.keys = [replaced]
    publisher.monotonic_s += 301
    await tokens.verify(sign(replaced))

    assert "signature" in await refused(tokens, token)


async def test_keys_outlive_an_issuer_that_is_down_for_an_hour_and_no_longer():
    publisher = Publisher(OLD)
    tokens = publisher.tokens()
    await tokens.verify(sign(OLD))
    publisher.is_up = False

    publisher.monotonic_s += 3000
    await tokens.verify(sign(OLD, sub="moussa.ndiaye"))
    publisher.monotonic_s += 700

    with pytest.raises(Outage):
        await tokens.verify(sign(OLD, sub="fatou.sarr"))


async def test_an_issuer_never_reached_is_an_outage_and_not_a_refusal():
    publisher = Publisher(OLD)
    publisher.is_up = False

    with pytest.raises(Outage):
        await publisher.tokens().verify(sign(OLD))


async def test_published_keys_for_other_uses_sign_nothing():
    encryption = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc", "alg": "RSA-OAEP"})
    publisher = Publisher(encryption)

    token = jwt.encode({"alg": "RS256", "kid": "enc"}, claims(), STRANGER)

    assert "does not publish" in await refused(publisher.tokens(), token)


async def test_a_remembered_token_costs_no_signature_check(monkeypatch: pytest.MonkeyPatch):
    tokens = Publisher(OLD).tokens()
    token = sign(OLD)
    await tokens.verify(token)

    monkeypatch.setattr(jwt, "decode", lambda *_, **__: pytest.fail("verified again"))

    assert (await tokens.verify(token)).sub == "awa.diop"


async def test_the_id_token_of_another_sign_in_is_refused(keys: IssuerKeys):
    tokens = Publisher(OLD).tokens()
    token = sign(OLD, {"typ": "JWT"}, aud="molam-merchant", nonce="theirs")

    with pytest.raises(TokenRefused):
        await tokens.verify_id_token(token, client_id="molam-merchant", nonce="ours")


async def test_an_access_token_is_no_id_token():
    tokens = Publisher(OLD).tokens()

    with pytest.raises(TokenRefused):
        await tokens.verify_id_token(sign(OLD), client_id=AUDIENCE, nonce="")
