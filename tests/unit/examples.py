"""The examples of a page, run in a project that is made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from .interpreters import run

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

#: What stands around the calls: the names that they take for granted.
AROUND = """
import doctest
import importlib
import json
import warnings

# send_task sends, even where other tasks run at once.
warnings.filterwarnings("ignore", "task_always_eager has no effect on send_task")

import config
import django

django.setup()

from celery import chain, chord, group
from django.core.management import call_command
from django.db import connections, transaction

from cereal_methods import BulkResult, apply_on_commit

page, modules, calls = json.load(open("calls.json"))
names = {}
for module in modules:
    names.update(vars(importlib.import_module(module)))
for alias in connections:
    call_command("migrate", run_syncdb=True, verbosity=0, database=alias)
call_command("check")
names.update({
    "chain": chain, "chord": chord, "group": group,
    "transaction": transaction, "apply_on_commit": apply_on_commit, "app": config.app,
    "BulkResult": BulkResult,
})
Order = names["Order"]
names["order"], names["other_order"] = Order.objects.create(), Order.objects.create()
names["orders"] = Order.objects.all()
if "Invoice" in names:
    names["invoice"] = names["Invoice"].objects.create(order=names["order"])
failed = []
parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
for line, kind, source in calls:
    try:
        if kind == "python":
            exec(compile("\\n" * line + source, page, "exec"), names)
        else:
            test = parser.get_doctest(source, names, page, page, line)
            told = []
            runner.run(test, out=told.append, clear_globs=False)
            names.update(test.globs)
            if told:
                failed.append("".join(told))
    except Exception as error:
        failed.append(f"line {line + 1}: {type(error).__name__}: {error}")
print()
print(json.dumps(failed))
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
    printed = run(AROUND, directory=directory, settings="config.settings")
    failed: list[str] = json.loads(printed.splitlines()[-1])
    return failed
