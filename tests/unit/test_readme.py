"""The examples of the README, which all run: in a project that is made of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from .interpreters import ROOT, run

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
    "shop/models.py": "def deliver(invoice, copy_to): ...",
    "shop/tasks.py": "from shop.models import *",
}

#: What stands around the calls: the names that they take for granted.
AROUND = """
import json
import warnings

# send_task sends, even where other tasks run at once.
warnings.filterwarnings("ignore", "task_always_eager has no effect on send_task")

import config
import django

django.setup()

from celery import chain, chord, group
from django.core.management import call_command
from django.db import transaction

import shop.models
import shop.tasks
from cereal_methods import BulkResult, apply_on_commit

call_command("migrate", run_syncdb=True, verbosity=0)
call_command("check")
names = {
    **vars(shop.models), **vars(shop.tasks),
    "chain": chain, "chord": chord, "group": group,
    "transaction": transaction, "apply_on_commit": apply_on_commit, "app": config.app,
    "BulkResult": BulkResult,
    "order": shop.models.Order.objects.create(),
    "other_order": shop.models.Order.objects.create(),
    "orders": shop.models.Order.objects.all(),
}
names["invoice"] = shop.models.Invoice.objects.create(order=names["order"])
failed = []
for line, source in json.load(open("calls.json")):
    try:
        exec(compile("\\n" * line + source, "README.md", "exec"), names)
    except Exception as error:
        failed.append(f"line {line}: {type(error).__name__}: {error}")
print()
print(json.dumps([failed, list(shop.models.Order.objects.values_list("status", "carrier"))]))
"""


class Block(NamedTuple):
    """One example: the line where it begins, the file that it belongs to, if any, and its text."""

    line: int
    file: str | None
    source: str


def blocks() -> list[Block]:
    """Return the README's examples in Python."""
    text = (ROOT / "README.md").read_text()
    found = []
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start(1))
        file = re.match(r"# (\w+/\w+\.py)\n", match[1])
        found.append(Block(line, file and file[1], match[1]))
    return found


BLOCKS = blocks()


def test_the_examples_are_found() -> None:
    assert {block.file for block in BLOCKS} == {
        None,
        "config/settings.py",
        "shop/models.py",
        "shop/tasks.py",
    }
    assert BLOCKS[0].source.startswith("# shop/models.py\nfrom django.db import models\n")


def test_every_example_runs(tmp_path: Path) -> None:
    for name, start in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        sources = [dedent(start), *(block.source for block in BLOCKS if block.file == name)]
        path.write_text("\n".join(sources))
    calls = [(block.line, block.source) for block in BLOCKS if block.file is None]
    (tmp_path / "calls.json").write_text(json.dumps(calls))

    printed = run(AROUND, directory=tmp_path, settings="config.settings")

    failed, orders = json.loads(printed.splitlines()[-1])
    assert not failed, "\n".join(failed)
    assert ["shipped", "dhl"] in orders
