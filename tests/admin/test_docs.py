"""The examples of docs/admin.md, which run: in a project that is made of them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.interpreters import ROOT, run

SETTINGS = """
from tests.admin.settings import *

INSTALLED_APPS = [name for name in INSTALLED_APPS if "test" not in name and "results" not in name]
INSTALLED_APPS += ["shop"]
ROOT_URLCONF = "config.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""


def test_every_example_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs/admin.md").read_text()
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == ["shop/models.py", "shop/admin.py", "config/settings.py"]
    assert len(blocks) == text.count("```python")
    files = {
        "config/__init__.py": "",
        "config/urls.py": "from tests.admin.urls import urlpatterns",
        "shop/__init__.py": "",
    }
    blocks.insert(0, ("config/settings.py", SETTINGS))
    for name, source in (*files.items(), *blocks):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(source)

    printed = run(
        f"""
        import sys

        sys.path.append({str(ROOT)!r})
        import tests.celery
        import django

        django.setup()
        from django.contrib import admin
        from django.contrib.auth.models import User
        from django.core.management import call_command
        from django.test import Client
        from shop.models import Order
        from cereal_methods.admin.history import is_kept

        call_command("check")
        call_command("migrate", run_syncdb=True, verbosity=0)
        order = Order.objects.create(number="1")
        client = Client(SERVER_NAME="localhost")
        client.force_login(User.objects.create(username="a", is_staff=True, is_superuser=True))
        page = client.get(f"/admin/shop/order/{{order.pk}}/change/").content.decode()
        print("Ship…" in page, "Pack…" in page, "Print address labels" in page, is_kept())
        print(sorted(admin.site._registry[Order].model_task_actions[1].permissions))
        """,
        directory=tmp_path,
        settings="config.settings",
    )

    assert printed.splitlines()[-2:] == ["True True True True", "['change']"]


def test_what_the_page_shows_is_there() -> None:
    text = (ROOT / "docs/admin.md").read_text()
    found = [*re.findall(r"\]\((images/[^)]+)\)", text)]

    assert found
    assert [path for path in found if not (ROOT / "docs" / path).is_file()] == []
