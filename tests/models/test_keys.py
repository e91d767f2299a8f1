"""Keys are given in production, and derived from one secret everywhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from molam.entrypoints.keys import approval_token_key, secret_key, sira_signing_key
from molam.platform.settings import Secret, Settings, SettingsRefused, load


def test_derived_keys_differ_from_each_other_and_last(tmp_path: Path):
    settings = Settings(molam_home=tmp_path)

    keys = {sira_signing_key(settings), approval_token_key(settings), secret_key(settings)}

    assert len(keys) == 3
    assert sira_signing_key(Settings(molam_home=tmp_path)) in keys
    assert all(len(key.reveal()) >= 32 for key in keys)


@pytest.mark.parametrize("name", ["approval_token_secret", "token_secret"])
def test_given_key_is_used_under_either_name(tmp_path: Path, name: str):
    given = Secret("g" * 32)

    assert approval_token_key(Settings(molam_home=tmp_path, **{name: given})) == given


@pytest.mark.parametrize("read", [sira_signing_key, approval_token_key])
def test_production_derives_nothing(tmp_path: Path, read):
    settings = Settings(
        molam_env="production", molam_home=tmp_path, molam_secret_key=Secret("s" * 32)
    )

    with pytest.raises(SettingsRefused, match="is required"):
        read(settings)


@pytest.mark.parametrize("name", ["SIRA_SIGNING_KEY", "APPROVAL_TOKEN_SECRET", "TOKEN_SECRET"])
def test_short_key_is_refused(name: str):
    with pytest.raises(SettingsRefused, match="at least 32 characters"):
        load({name: "change-me-in-production"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("TOKEN_TTL_SECONDS", "0"), ("TOKEN_TTL_SECONDS", "86401"), ("SIRA_TIMEOUT_MS", "0")],
)
def test_time_out_of_bounds_is_refused(name: str, value: str):
    with pytest.raises(SettingsRefused, match="between"):
        load({name: value})
