"""Fixtures of the commands' tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cereal_methods.results import waiting


@pytest.fixture
def on_sleep(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Do something instead of waiting before the results are read again."""

    def install(what: Callable[[], Any]) -> None:
        monkeypatch.setattr(waiting.time, "sleep", lambda seconds: what())

    return install
