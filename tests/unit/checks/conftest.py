"""Fixtures of the checks' tests."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

from tests.celery import app

from .checking import Checked, Found, told, use


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Run the checks on a Celery app with some settings, which knows the same tasks."""

    def check(*names: str, **settings: Any) -> Found:
        use(monkeypatch, {name: app.tasks[name] for name in names}, **settings)
        return told(run_checks(tags=["cereal_methods"], databases=[]))

    return check
