"""What callers are told when the answer is no."""

from __future__ import annotations

import asyncpg
import pytest
from starlette.exceptions import HTTPException

from molam.kernel.refusals import Kind, Outage, Refusal
from molam.platform.auth import AAL2, StepUpRequired
from molam.platform.web import problems
from molam.platform.web.caller import Unauthenticated
from molam.platform.web.limits import TooManyAttempts


def refusal(kind: Kind) -> Refusal:
    made = type("Made", (Refusal,), {"code": "made-up", "kind": kind, "title": "Made up"})
    return made("Because.", acr_values=AAL2, max_age=300)


def describe(error: Exception, locale: str = "en") -> problems.Problem:
    return problems.describe(error, request_id="req-1", locale=locale)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_refusal_is_a_4xx_that_explains_itself(kind: Kind):
    problem = describe(refusal(kind))

    assert 400 <= problem.status < 500
    assert problems.document(problem) == {
        "type": "https://docs.molam.example/problems/made-up",
        "title": "Made up",
        "status": problem.status.value,
        "detail": "Because.",
        "instance": "urn:request:req-1",
        "code": "made-up",
        "message": "Made up",
        "acr_values": AAL2,
        "max_age": 300,
    }


def test_facts_cannot_pretend_to_be_the_problem():
    class Sly(Refusal):
        code = "sly"
        kind = Kind.FORBIDDEN
        title = "No"

    document = problems.document(describe(Sly("No.", status=200, code="fine", type="about:blank")))

    assert (document["status"], document["code"]) == (403, "sly")


def test_an_unforeseen_error_tells_the_caller_nothing():
    document = problems.document(describe(ValueError("password of Awa: molam-demo")))

    assert document["status"] == 500
    assert "Awa" not in str(document)
    assert "ValueError" not in str(document)


def test_an_outage_says_when_to_come_back_and_not_what_is_down():
    problem = describe(Outage("database", retry_after_s=7))

    assert problem.status == 503
    assert problem.headers == {"Retry-After": "7"}
    assert "database" not in str(problems.document(problem))


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.QueryCanceledError(),
        asyncpg.LockNotAvailableError(),
        asyncpg.DeadlockDetectedError(),
        asyncpg.SerializationError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_database_gives_up_for_a_moment_may_be_tried_again(error: Exception):
    assert describe(error).status == 503


def test_a_constraint_nobody_foresaw_is_our_fault():
    assert describe(asyncpg.UniqueViolationError()).status == 500


def test_step_up_is_asked_for_as_rfc_9470_says():
    problem = describe(StepUpRequired("Confirm.", acr_values=AAL2, max_age=300))

    assert problem.status == 401
    assert 'error="insufficient_user_authentication"' in problem.headers["WWW-Authenticate"]
    assert f'acr_values="{AAL2}", max_age=300' in problem.headers["WWW-Authenticate"]


def test_somebody_without_a_token_is_challenged_without_an_error():
    problem = describe(Unauthenticated("Who are you?"))

    assert problem.headers == {"WWW-Authenticate": 'Bearer realm="molam"'}


def test_too_many_attempts_say_when_to_come_back():
    problem = describe(TooManyAttempts("Wait.", retry_after_s=12))

    assert (problem.status, problem.headers) == (429, {"Retry-After": "12"})


def test_french_people_read_french():
    problem = describe(Unauthenticated("Who are you?"), locale="fr")

    assert problem.message == "Connectez-vous pour continuer."
    assert problem.title == "Sign in, or send a bearer token"


@pytest.mark.parametrize(("status", "code"), [(404, "not-found"), (405, "method-not-allowed")])
def test_the_routers_own_refusals_have_codes_too(status: int, code: str):
    assert (describe(HTTPException(status)).status, describe(HTTPException(status)).code) == (
        status,
        code,
    )
