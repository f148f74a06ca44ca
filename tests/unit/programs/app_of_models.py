"""Print which tasks the app of a project has, by when it is made and when the models are loaded.

The first argument names the function that does both. A worker imports the same: it is told only
INSTALLED_APPS.
"""

from __future__ import annotations

import sys

import django
from celery import Celery


def app_first() -> Celery:
    import tests.celery

    django.setup()
    return tests.celery.app


def models_first() -> Celery:
    django.setup()
    import tests.celery

    return tests.celery.app


def app_without_settings() -> Celery:
    django.setup()
    return Celery("later")


def finalized_later() -> Celery:
    app = Celery("before")
    django.setup()
    return app


app = globals()[sys.argv[1]]()
print([name in app.tasks for name in sys.argv[2:]])
