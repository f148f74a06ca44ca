"""Durable tasks of one test are no burst with those of the test before."""

from __future__ import annotations

import pytest

from cereal_methods.records import marks


@pytest.fixture(autouse=True)
def marked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mark each message as sent when it is sent, as if the test sent it after a pause."""
    monkeypatch.setattr(marks, "BURST", -1.0)
