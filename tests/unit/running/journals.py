"""Journals of batches, in a directory of one test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cereal_methods.running.batches import folder


@pytest.fixture(autouse=True)
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the directory of the journals."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder._folder.cache_clear()
    directory = folder._folder()
    assert directory is not None
    assert directory.parent == tmp_path
    yield directory
    folder._folder.cache_clear()
