"""The key of the audit record: given, or made once under MOLAM_HOME."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from audit_records import SIGNER
from molam.audit import verify
from molam.audit.signing import checkpoint_text, load_signer
from molam.platform.settings import Secret, Settings, SettingsRefused

SEED = base64.b64encode(bytes(range(32))).decode()


def test_a_given_key_is_used(tmp_path: Path):
    signer = load_signer(Settings(molam_home=tmp_path, molam_audit_key=Secret(SEED)))

    assert signer.public_key == SIGNER.public_key
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path):
    settings = Settings(molam_home=tmp_path / "home")

    with ThreadPoolExecutor(8) as pool:
        made = {each.public_key for each in pool.map(load_signer, [settings] * 8)}

    assert len(made) == 1
    assert [each.name for each in (tmp_path / "home").iterdir()] == ["audit.key"]
    assert (tmp_path / "home" / "audit.key").stat().st_mode & 0o777 == 0o600


def test_pem_on_one_line_is_read_as_a_dotenv_file_has_it(tmp_path: Path):
    load_signer(Settings(molam_home=tmp_path))
    pem = (tmp_path / "audit.key").read_text(encoding="ascii")
    one_line = Secret(pem.replace("\n", "\\n"))

    given = load_signer(Settings(molam_home=tmp_path / "other", molam_audit_key=one_line))

    assert given.public_key == load_signer(Settings(molam_home=tmp_path)).public_key


def test_production_needs_a_key_of_its_own(tmp_path: Path):
    with pytest.raises(SettingsRefused, match="MOLAM_AUDIT_KEY is required"):
        load_signer(Settings(molam_home=tmp_path, molam_env="production"))


def test_another_kind_of_key_is_refused_without_being_repeated(tmp_path: Path):
    curve = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for wrong in (curve.decode(), "c2hvcnQ=", "a secret that is no key"):
        with pytest.raises(SettingsRefused, match="Ed25519") as refused:
            load_signer(Settings(molam_home=tmp_path, molam_audit_key=Secret(wrong)))
        assert wrong not in str(refused.value)


def test_a_checkpoint_is_a_signed_note_of_three_lines():
    note = SIGNER.sign(checkpoint_text(66012, bytes(32)))

    origin, size, root, blank, signature = note.splitlines()
    assert (origin, size, blank) == ("molam-connect/audit", "66012", "")
    assert base64.b64decode(root) == bytes(32)
    assert signature.startswith("\N{EM DASH} molam-connect/audit ")
    assert len(base64.b64decode(signature.rpartition(" ")[2])) == 4 + 64
    assert verify.read_checkpoint(note, verify.read_keys(SIGNER.public_key)).size == 66012
