"""Knowing who is asking: tokens, sessions, sign-in, step-up."""

from molam.platform.auth.assembly import Auth, assemble
from molam.platform.auth.directory import Directory
from molam.platform.auth.issuer import open_client
from molam.platform.auth.sign_in import RelyingParty
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S, StepUpRequired, require_step_up
from molam.platform.auth.tokens import AAL1, AAL2, TokenRefused

__all__ = [
    "AAL1",
    "AAL2",
    "STEP_UP_MAX_AGE_S",
    "Auth",
    "Directory",
    "RelyingParty",
    "StepUpRequired",
    "TokenRefused",
    "assemble",
    "open_client",
    "require_step_up",
]
