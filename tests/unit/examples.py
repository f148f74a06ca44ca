"""The examples of a page, run in a project that is made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from .interpreters import run_program

#: What the project of a reader has before any example of ours.
PROJECT = {
    "config/settings.py": """
        SECRET_KEY = "secret"
        INSTALLED_APPS = ["shop"]
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        CELERY_BROKER_URL = "memory://"
        CELERY_RESULT_BACKEND = "cache+memory://"
        CELERY_TASK_ALWAYS_EAGER = True
        CELERY_TASK_EAGER_PROPAGATES = True
        CELERY_TASK_STORE_EAGER_RESULT = True
    """,
    "config/__init__.py": "from .celery import app",
    "config/celery.py": """
        from celery import Celery

        app = Celery("shop")
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.autodiscover_tasks()
    """,
    "shop/__init__.py": "",
    "shop/models.py": "",
    "shop/tasks.py": "from shop.models import *",
}

#: What the models of a page import.
IMPORTS = "from django.db import models\nfrom cereal_methods import model_task\n"

#: The model that pages speak of without showing it.
ORDER = """
class Order(models.Model):
    status = models.CharField(max_length=20, default="paid")
    carrier = models.CharField(max_length=20, default="")

    @model_task
    def ship(self, carrier):
        self.status, self.carrier = "shipped", carrier
        self.save()
        return f"order {self.pk} went out with {carrier}"

    @model_task
    def notify(self, message=None):
        return f"Dear customer: {message}."
"""


class Block(NamedTuple):
    """One example: the line before it, the file that it belongs to, if any, and its text."""

    line: int
    kind: str
    file: str | None
    source: str


def blocks(page: Path) -> list[Block]:
    """Return the examples of a page that are Python, but for those that it says are not to run."""
    text = page.read_text()
    found = []
    fences = re.compile(
        r"(<!-- not run: .+ -->\n+)?^( *)```(python|pycon)\n(.*?)^\2```$", re.MULTILINE | re.DOTALL
    )
    for match in fences.finditer(text):
        if match[1]:
            continue
        line = text.count("\n", 0, match.start(4))
        source = dedent(match[4])
        file = re.match(r"# (\w+(?:/\w+)*\.py)\n", source)
        found.append(Block(line, match[3], file and file[1], source))
    return found


def run_examples(
    page: str, found: Iterable[Block], directory: Path, start: Mapping[str, str] = PROJECT
) -> list[str]:
    """Run a page's examples in a project that begins as ``start``, and return what failed."""
    sources = {name: [dedent(text)] for name, text in start.items()}
    calls = []
    for block in found:
        if block.file is None:
            calls.append((block.line, block.kind, block.source))
        else:
            sources.setdefault(block.file, []).append(block.source)
    for name, parts in sources.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("\n".join(parts))
    modules = [name.removesuffix(".py").replace("/", ".") for name in sources]
    shown = [name for name in modules if name.startswith("shop.")]
    (directory / "calls.json").write_text(json.dumps([page, shown, calls]))
    printed = run_program("examples", directory=directory, settings="config.settings")
    failed: list[str] = json.loads(printed.splitlines()[-1])
    return failed
