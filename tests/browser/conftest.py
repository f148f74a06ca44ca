"""Fixtures of the tests in a browser: the shop, served on real servers, and Chromium.

What is not there skips a test, and says which; with ``CI=true`` it fails.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings

from tests.worker.conftest import need

from . import chromium
from .admin import Admin
from .shop import Shop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="the folder that the screenshots go to")


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The address of an empty database, which is gone afterwards."""
    need(settings.POSTGRES_URL)
    server = urlsplit(settings.POSTGRES_URL)
    name = f"{server.path[1:]}_shop_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield server._replace(path=f"/{name}").geturl()
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def shop(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop, with its worker."""
    need(settings.CELERY_BROKER_URL)
    with Shop(tmp_path_factory.mktemp("shop"), database) as found:
        yield found


@pytest.fixture(scope="session")
def start_browser(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Any]]:
    """Start browsers that end with the session."""
    if not (chromium.BROWSER and chromium.DRIVER):
        reason = "no chromium or chromedriver: Debian's packages chromium and chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    started: list[Any] = []

    def start(**options: Any) -> Any:
        started.append(chromium.start(tmp_path_factory.mktemp("profile"), **options))
        return started[-1]

    yield start
    for browser in started:
        browser.quit()


@pytest.fixture(scope="session")
def browser(start_browser: Callable[..., Any]) -> Any:
    """A browser with all that it has by default."""
    return start_browser()


@pytest.fixture
def paid(database: str, shop: Shop) -> None:
    """Let three hundred orders be paid, and not shipped yet."""
    with psycopg.connect(database, autocommit=True) as connection:
        statement = "UPDATE shop_order SET status = %s, carrier = '' WHERE number > '2026-0200'"
        assert connection.execute(statement, ["paid"]).rowcount == 300


@pytest.fixture
def admin(browser: Any, shop: Shop, paid: None) -> Iterator[Admin]:
    """The shop's admin, where the demo's user is logged in; its console must stay empty."""
    found = Admin(browser, shop)
    found.log_in()
    browser.get_log("browser")
    yield found
    wrong = [each for each in browser.get_log("browser") if "favicon.ico" not in each["message"]]
    assert wrong == []


@pytest.fixture
def screenshot(
    request: pytest.FixtureRequest, tmp_path: Path, browser: Any
) -> Callable[[str], None]:
    """Save what the browser shows as a PNG."""
    folder = request.config.getoption("--screenshots") or tmp_path

    def save(name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        assert browser.save_screenshot(str(folder / f"{name}.png"))

    return save
