"""Which package workers run: under tox the one that was installed, not the checkout."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shop.models import Order

from .workers import Worker

INSTALLED = Path(sysconfig.get_path("purelib")) / "cereal_methods" / "__init__.py"


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="not run by tox")
def test_workers_run_the_installed_package(
    start_worker: Callable[..., Worker], route: Callable[[Worker], None]
) -> None:
    route(start_worker("--pool=solo"))

    assert Order.where.delay().get(timeout=60) == str(INSTALLED)
