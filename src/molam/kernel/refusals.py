"""What the product says when the answer is no. HTTP is not mentioned here."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Kind(Enum):
    """Why a request cannot be honoured; the web layer maps each to one status."""

    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    STEP_UP = "step-up"
    FORBIDDEN = "forbidden"
    ABSENT = "absent"
    CONFLICT = "conflict"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA = "unsupported-media"
    BROKEN_RULE = "broken-rule"
    TOO_MANY = "too-many"


class Refusal(Exception):
    """
    An anticipated no.

    The request was understood and a rule forbids it. Nothing is wrong with the
    system, so a refusal is never logged as an error and never retried.
    """

    code: ClassVar[str]
    kind: ClassVar[Kind]
    title: ClassVar[str]

    def __init__(self, detail: str, **facts: str | int) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts = facts


class Outage(Exception):
    """A dependency did not answer in time. Retrying later may help."""

    def __init__(self, dependency: str, *, retry_after_s: int = 5) -> None:
        super().__init__(dependency)
        self.dependency = dependency
        self.retry_after_s = retry_after_s
