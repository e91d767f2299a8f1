"""Where trained health models are kept, and which of them may serve now."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
from prometheus_client import Counter, Gauge

from molam.kernel.refusals import Kind, Refusal
from molam.sira import drift, features
from molam.sira.health_model import WIDENING, HealthModel, Reading, read

MODEL, MANIFEST, CURRENT, DRIFT = "model.json", "manifest.json", "current", "drift.json"
LOOK_AGAIN_S = 10.0

_SERVING = Gauge("molam_sira_model_serving", "1 while a learned health model serves, 0 else.")
_REFUSED = Counter("molam_sira_model_refused_total", "Models that were found and not loaded.")
_SHIFT = Gauge("molam_sira_drift_psi", "The largest population stability index of a feature.")
_FROZEN = Gauge("molam_sira_drift_frozen", "1 while drift keeps the learned model from serving.")


class ModelRefused(Refusal):
    code = "model-refused"
    kind = Kind.CONFLICT
    title = "The model cannot be served"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """SHA-256 of every file of a version."""

    version: str
    files: dict[str, str]


class Serving(msgspec.Struct, frozen=True):
    """The model in use; without one, why, and how much wider intervals are meanwhile."""

    model: HealthModel | None
    why: str
    widening: float = 1.0

    def read(self, vector: tuple[float, ...], *, window_minutes: int) -> Reading | None:
        """Predict, or None where the filter has to."""
        if self.model is None:
            return None
        return read(self.model, vector, window_minutes=window_minutes, widening=self.widening)


def models_folder(home: Path) -> Path:
    return home / "models" / "health"


def keep(home: Path, version: str, files: Mapping[str, bytes]) -> Path:
    """
    Keep a version's files with their manifest; it is there whole, or not at all.

    Raises:
        ModelRefused: the version exists already.
    """
    folder = models_folder(home) / version
    if folder.exists():
        raise ModelRefused(f"{folder} exists, and a version never changes.")
    draft = folder.with_name(f".{version}.{secrets.token_hex(4)}")
    draft.mkdir(parents=True)
    for name, content in files.items():
        _write(draft / name, content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    _write(draft / MANIFEST, msgspec.json.format(msgspec.json.encode(Manifest(version, sums))))
    draft.rename(folder)
    return folder


def point_to(home: Path, version: str) -> None:
    """Make *version* the current one, in one step."""
    target = models_folder(home) / CURRENT
    draft = target.with_name(f".{CURRENT}.{secrets.token_hex(4)}")
    _write(draft, f"{version}\n".encode())
    draft.replace(target)


def open_folder(folder: Path) -> HealthModel:
    """
    Read a version whose files are those that were kept, and whose features are ours.

    Raises:
        ModelRefused: a file is missing, altered or not of this release.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        if MODEL not in manifest.files:
            raise ModelRefused(f"The manifest in {folder} names no {MODEL}.")
        for name, wanted in manifest.files.items():
            if Path(name).name != name:
                raise ModelRefused(f"The manifest in {folder} names a file outside of it.")
            content = (folder / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != wanted:
                raise ModelRefused(f"{name} in {folder} is not the file that was kept.")
        model = msgspec.json.decode((folder / MODEL).read_bytes(), type=HealthModel)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelRefused(f"{folder} holds no readable model ({error}).") from None
    if model.features_digest != features.digest() or model.features != features.NAMES:
        raise ModelRefused(
            f"Version {model.version} was trained on other features than this release computes;"
            " train again."
        )
    return model


def current_version(home: Path) -> str | None:
    try:
        named = (models_folder(home) / CURRENT).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    if not named or Path(named).name != named or named.startswith("."):
        raise ModelRefused(f"{models_folder(home) / CURRENT} does not name a version.")
    return named


def keep_drift(home: Path, version: str, state: drift.DriftState) -> None:
    """Keep what has been seen since *version* serves."""
    target = models_folder(home) / f"{version}.{DRIFT}"
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    _write(draft, msgspec.json.encode(state))
    draft.replace(target)


def kept_drift(home: Path, version: str) -> drift.DriftState | None:
    """Return what has been kept; what cannot be read counts as nothing seen yet."""
    try:
        content = (models_folder(home) / f"{version}.{DRIFT}").read_bytes()
        return msgspec.json.decode(content, type=drift.DriftState)
    except (OSError, msgspec.MsgspecError):
        return None


def load(home: Path) -> Serving:
    """Return what may serve now; never raises, since the filter always can."""
    try:
        version = current_version(home)
        if version is None:
            return _told(Serving(None, "no model has been trained"))
        model = open_folder(models_folder(home) / version)
    except ModelRefused as refusal:
        _REFUSED.inc()
        return _told(Serving(None, refusal.detail))
    if not model.serves:
        return _told(Serving(None, model.why))
    verdict = drift.verdict(kept_drift(home, version) or drift.DriftState(version), model)
    _SHIFT.set(verdict.psi_max)
    _FROZEN.set(verdict.is_frozen)
    if verdict.is_frozen:
        return _told(Serving(None, verdict.reason, WIDENING))
    return _told(Serving(model, model.why))


class Shelf:
    """What may serve now, looked up again where the files have changed, at most each 10 s."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._looked = float("-inf")
        self._stamps: tuple[float, ...] = ()
        self._serving: Serving | None = None

    def serving(self) -> Serving:
        now = time.monotonic()
        if self._serving is None or now - self._looked >= LOOK_AGAIN_S:
            self._looked = now
            stamps = self._read_stamps()
            if self._serving is None or stamps != self._stamps:
                self._serving, self._stamps = load(self._home), stamps
        return self._serving

    def _read_stamps(self) -> tuple[float, ...]:
        folder = models_folder(self._home)
        watched = [folder / CURRENT, *sorted(folder.glob(f"*.{DRIFT}"))]
        return tuple(path.stat().st_mtime_ns for path in watched if path.exists())


def _told(serving: Serving) -> Serving:
    _SERVING.set(serving.model is not None)
    return serving


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
