"""The directory of journals: only its user can write there, and old files are deleted."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from cereal_methods.running.batches import folder
from cereal_methods.running.batches.folder import path_of

WEEK = 7 * 24 * 3600


@pytest.fixture
def fresh(journals: Path) -> Path:
    """Return the path of the directory, which does not exist yet."""
    journals.rmdir()
    folder._folder.cache_clear()
    return journals


def test_only_the_user_can_access_the_directory(fresh: Path) -> None:
    assert path_of("the-id") == fresh / "the-id"
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["link", "open", "another user's"])
def test_a_directory_of_others_is_not_used(
    fresh: Path, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "link":
        (fresh.parent / "elsewhere").mkdir()
        fresh.symlink_to(fresh.parent / "elsewhere")
    else:
        fresh.mkdir(mode=0o700)
    if kind == "open":
        fresh.chmod(0o777)
    elif kind == "another user's":
        user = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
        fresh.rename(fresh.parent / f"cereal_methods-{user + 1}")

    assert path_of("the-id") is None
    assert "Batches do not keep journals in" in caplog.text


def test_a_system_without_users_has_one_directory(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "getuid")

    assert path_of("the-id") == fresh.parent / "cereal_methods-0" / "the-id"


def test_a_directory_that_cannot_be_made_is_logged(
    fresh: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh.write_text("a file")

    assert path_of("the-id") is None
    assert f"Batches cannot keep journals in {fresh}: " in caplog.text


def test_old_journals_are_deleted(fresh: Path) -> None:
    fresh.mkdir(mode=0o700)
    for name, age in (("old", WEEK + 60), ("young", WEEK - 60)):
        (fresh / name).write_text("")
        os.utime(fresh / name, (time.time() - age,) * 2)

    path_of("the-id")

    assert [path.name for path in fresh.iterdir()] == ["young"]


@pytest.mark.parametrize("name", ["../5", "a/b", "", "a" * 101, "5\n"])
def test_some_ids_cannot_name_a_file(name: str) -> None:
    assert path_of(name) is None
