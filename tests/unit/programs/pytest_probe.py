"""Tests in a project that has nothing to do with Django: they see what pytest has imported."""

from __future__ import annotations

import sys

import pytest


def test_nothing_is_imported():
    heavy = ["celery", "kombu", "django.conf", "django.db", "wrapt"]
    assert [name for name in heavy if name in sys.modules] == []
    print(sorted(name for name in sys.modules if name.startswith("cereal_methods")))


def test_the_fixtures_are_there(request: pytest.FixtureRequest):
    assert request._fixturemanager.getfixturedefs("recorded_tasks", request.node)
