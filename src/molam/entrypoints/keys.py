"""Keys that processes share: given in production, made under MOLAM_HOME otherwise."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets

from molam.platform.settings import Secret, Settings, SettingsRefused
from molam.sira import signing


def secret_key(settings: Settings) -> Secret:
    """Read the signing key, or make one under MOLAM_HOME for all processes of this machine."""
    if settings.molam_secret_key:
        return settings.molam_secret_key
    path = settings.molam_home / "secret"
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # Linking is atomic: of several processes that start at once, one names its
        # file, and nobody ever reads half of one.
        draft = path.with_name(f"secret.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32), encoding="ascii")
        try:
            os.link(draft, path)
        finally:
            draft.unlink()
    return Secret(path.read_text(encoding="ascii"))


def sira_signing_key(settings: Settings) -> Secret:
    """
    Return the key under which SIRA signs and others verify.

    Raises:
        SettingsRefused: production has none, or it is no key.
    """
    key = _given_or_derived(settings, "SIRA_SIGNING_KEY", settings.sira_signing_key)
    try:
        signing.check(key)
    except ValueError as error:
        raise SettingsRefused(f"SIRA_SIGNING_KEY is {error}") from None
    return key


def sira_api_key(settings: Settings) -> Secret:
    """
    Return what opens SIRA to the mesh; made of the signing key, which both have, if not given.

    Raises:
        SettingsRefused: there is no signing key, or it is no key.
    """
    if settings.sira_api_key:
        return settings.sira_api_key
    shared = sira_signing_key(settings).reveal().strip()
    return Secret(hmac.new(shared.encode(), b"SIRA_API_KEY", hashlib.sha256).hexdigest())


def approval_token_key(settings: Settings) -> Secret:
    """
    Return the key under which approval links are kept.

    Raises:
        SettingsRefused: production has none.
    """
    given = settings.approval_token_secret or settings.token_secret
    return _given_or_derived(settings, "APPROVAL_TOKEN_SECRET", given)


def _given_or_derived(settings: Settings, name: str, given: Secret) -> Secret:
    if given:
        return given
    if settings.is_production:
        raise SettingsRefused(f"{name} is required when MOLAM_ENV=production")
    made = hmac.new(secret_key(settings).reveal().encode(), name.encode(), hashlib.sha256)
    return Secret(made.hexdigest())
