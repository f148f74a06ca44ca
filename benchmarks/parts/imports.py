"""What importing the library takes, when Django and Celery are there already."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from textwrap import dedent
from typing import TYPE_CHECKING, Final

from benchmarks.samples import Measure, interleaved

if TYPE_CHECKING:
    from benchmarks.lab import Lab

#: A Django project with a Celery app, which has a task; nothing of ours. kombu loads the
#: serializers of what is installed as it is imported: here it finds none, or a part of
#: the library would be there already and count for nothing.
PROJECT: Final = dedent("""
    import importlib.metadata, json, sys, time
    entry_points = importlib.metadata.entry_points
    importlib.metadata.entry_points = (
        lambda **group: () if group.get("group") == "kombu.serializers" else entry_points(**group)
    )
    import django, django.conf
    django.conf.settings.configure(
        SECRET_KEY="a", INSTALLED_APPS=[],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
    import django.db.models
    import celery
    app = celery.Celery("project", broker="memory://", set_as_current=True)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    @celery.shared_task
    def task(): pass
    app.finalize(); app.amqp; app.backend; task.s(); celery.chain, celery.group, celery.chord
    assert not any(name.startswith("cereal_methods") for name in sys.modules)
    before = set(sys.modules)
    begun = time.perf_counter()
    {code}
    taken = (time.perf_counter() - begun) * 1000
    new = sorted(set(sys.modules) - before)
    print(json.dumps([taken, new]))
""")

WAYS: Final = {
    "import cereal_methods": "import cereal_methods",
    "from cereal_methods import model_task": "from cereal_methods import model_task",
    "everything that a worker or a sender loads": (
        "from cereal_methods import model_task; import cereal_methods.apps, cereal_methods.checks, "
        "cereal_methods.serializers.pickle"
    ),
}


def measure(lab: Lab) -> Iterator[Measure]:
    """Give milliseconds, each of a new process."""
    modules: dict[str, list[str]] = {}

    def imported(name: str, code: str) -> float:
        command = [sys.executable, "-c", PROJECT.replace("{code}", code)]
        taken, modules[name] = json.loads(
            subprocess.check_output(command, text=True)  # noqa: S603
        )
        return float(taken)

    ways = {name: (lambda name=name: imported(name, WAYS[name])) for name in WAYS}
    interleaved(ways, 1)  # the compiled files are there now
    yield Measure(
        "imports",
        "import time beyond Django and Celery",
        "ms",
        interleaved(ways, lab.repetitions(21, 5)),
        details={"modules": modules},
    )
