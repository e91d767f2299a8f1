"""Which learned model may serve: one whose files are whole, ours and better than the filter."""

from __future__ import annotations

import msgspec
import pytest

from learned_health import a_model, a_vector, as_files
from molam.sira import registry
from molam.sira.drift import DriftState
from molam.sira.health_model import WIDENING
from molam.sira.registry import ModelRefused, Shelf


def _kept(home, model=None):
    model = model or a_model()
    folder = registry.keep(home, model.version, as_files(model))
    registry.point_to(home, model.version)
    return folder


def test_the_current_model_serves(tmp_path):
    _kept(tmp_path)

    serving = registry.load(tmp_path)

    assert serving.model == a_model()
    assert serving.read(tuple(a_vector()), window_minutes=60) is not None


def test_without_a_model_the_filter_serves(tmp_path):
    serving = registry.load(tmp_path)

    assert serving.model is None
    assert serving.read(tuple(a_vector()), window_minutes=60) is None


def test_an_altered_model_does_not_serve(tmp_path):
    folder = _kept(tmp_path)
    content = (folder / "model.json").read_bytes()
    (folder / "model.json").write_bytes(content.replace(b"0.9", b"0.8"))

    assert "not the file" in registry.load(tmp_path).why


def test_without_the_manifest_an_altered_model_would_serve(tmp_path):
    folder = _kept(tmp_path)
    content = (folder / "model.json").read_bytes().replace(b"0.9", b"0.8")

    # What the check of the sums keeps out is a model that reads well.
    assert msgspec.json.decode(content, type=type(a_model())) != a_model()


def test_a_model_of_other_features_does_not_serve(tmp_path):
    _kept(tmp_path, a_model(features_digest="0" * 64))

    assert "other features" in registry.load(tmp_path).why


def test_a_model_that_lost_to_the_filter_does_not_serve(tmp_path):
    _kept(tmp_path, a_model(serves=False, why="it does not beat the filter"))

    serving = registry.load(tmp_path)

    assert (serving.model, serving.why) == (None, "it does not beat the filter")


def test_a_model_that_drifts_does_not_serve_and_intervals_widen(tmp_path):
    _kept(tmp_path)
    state = DriftState("health-1", alarm="the model's errors have shifted")
    registry.keep_drift(tmp_path, "health-1", state)

    serving = registry.load(tmp_path)

    assert serving.model is None
    assert serving.widening == WIDENING
    assert serving.why == "the model's errors have shifted"


@pytest.mark.parametrize("named", ["../health-1", "", ".hidden", "a/b"])
def test_a_pointer_leads_to_no_other_folder(tmp_path, named: str):
    _kept(tmp_path)
    (registry.models_folder(tmp_path) / "current").write_text(named)

    with pytest.raises(ModelRefused):
        registry.current_version(tmp_path)
    assert registry.load(tmp_path).model is None


def test_a_version_never_changes(tmp_path):
    _kept(tmp_path)

    with pytest.raises(ModelRefused, match="exists"):
        registry.keep(tmp_path, "health-1", as_files(a_model()))


def test_a_half_written_version_is_not_there(tmp_path):
    with pytest.raises(TypeError):
        registry.keep(tmp_path, "health-1", {"model.json": b"{}", "REPORT.md": None})

    assert not (registry.models_folder(tmp_path) / "health-1").exists()


def test_a_shelf_follows_the_pointer(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "LOOK_AGAIN_S", 0.0)
    shelf = Shelf(tmp_path)
    assert shelf.serving().model is None

    _kept(tmp_path)

    assert shelf.serving().model == a_model()
    assert shelf.serving() is shelf.serving()
