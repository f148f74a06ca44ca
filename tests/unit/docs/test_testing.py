"""The examples of docs/testing.md, run as a reader runs them: without a broker or a worker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from ..examples import IMPORTS, ORDER
from ..interpreters import ROOT

PAGE = ROOT / "docs" / "testing.md"

#: What the page's examples test, and a broker and a backend that nobody can reach.
PROJECT = {
    "config/settings.py": """
        SECRET_KEY = "secret"
        INSTALLED_APPS = ["cereal_methods", "shop"]
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        CELERY_BROKER_URL = "amqp://nobody:secret@127.0.0.1:1"  # pragma: allowlist secret
        CELERY_RESULT_BACKEND = "rpc://"
        CELERY_TASK_DEFAULT_QUEUE = "shop"
        CELERY_ACCEPT_CONTENT = ["json", "cereal-pickle", "cereal-json"]
        CELERY_RESULT_SERIALIZER = "cereal-pickle"
    """,
    "config/__init__.py": "from .celery import app",
    "config/celery.py": """
        from celery import Celery

        app = Celery("shop")
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.autodiscover_tasks()
    """,
    "shop/__init__.py": "",
    "shop/models.py": IMPORTS + ORDER,
}

#: What gives the message that the page shows.
MESSAGE = """
    from shop.models import Order


    def test_message(db, recorded_tasks):
        order = Order.objects.create(pk=5)
        order.ship.apply_async(["ups"], countdown=60, queue="slow")
        order.notify.delay()
        try:
            recorded_tasks.assert_sent(order.ship, "dhl")
        except AssertionError as error:
            print(f"AssertionError: {error}")
"""


def write(directory: Path, start: Mapping[str, str], examples: Iterable[tuple[str, str]]) -> None:
    """Write a project: what it starts with, and the examples by the files that they name."""
    sources = {name: [dedent(text)] for name, text in start.items()}
    for name, text in examples:
        sources.setdefault(name, []).append(text)
    for name, parts in sources.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(parts))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the tests of the page."""
    directory = tmp_path_factory.mktemp("project")
    blocks = re.findall(r"^```python\n(# (shop/\w+\.py)\n.*?)^```$", PAGE.read_text(), re.M | re.S)
    write(directory, PROJECT, [(name, source) for source, name in blocks])
    return directory


def run(directory: Path, *command: str) -> str:
    """Return what a command prints; fail if it fails."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_examples_are_all_run() -> None:
    found = re.findall(r"^```python\n(.*)$", PAGE.read_text(), re.M)

    assert sorted(found) == ["# shop/test_orders.py"] * 2 + ["# shop/tests.py"] * 5


def test_django_runs_the_examples(project: Path) -> None:
    printed = run(project, "-W", "error", "-m", "django", "test")

    assert "Ran 6 tests" in printed
    assert "\nOK\n" in printed


def test_pytest_runs_the_examples_and_shows_the_message(project: Path) -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    (project / "shop" / "test_message.py").write_text(dedent(MESSAGE))
    options = ["-W", "error", "-s", "-p", "no:cacheprovider"]

    printed = run(project, "-m", "pytest", *options, "shop/test_orders.py", "shop/test_message.py")

    assert "3 passed" in printed
    assert shown in printed
