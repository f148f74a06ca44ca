"""Run pytest without Django, after the modules before ``--`` have been imported."""

from __future__ import annotations

import importlib
import sys

import pytest

place = sys.argv.index("--")
for name in sys.argv[1:place]:
    importlib.import_module(name)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:django", *sys.argv[place + 1 :]]))
