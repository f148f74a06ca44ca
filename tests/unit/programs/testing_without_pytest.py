"""Print whether the helpers for tests import pytest."""

from __future__ import annotations

import sys

import django

import tests.celery  # noqa: F401  (the project's app)

django.setup()

import cereal_methods.testing  # noqa: E402, F401

print("pytest" in sys.modules)
