"""The Celery app of the benchmarks."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks import marks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")

if os.environ.get("BENCH_CONTENDER") == "django-celery-outbox":
    from django_celery_outbox import OutboxCelery as Celery

app = Celery("benchmarks")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

if os.environ.get("BENCH_CONTENDER") == "django-cereal":
    # Under its own name, and in its own processes only: it also takes over the decoder of
    # plain pickle. Registered again because cereal_methods has the name for its users' sake.
    from django_cereal.pickle import register_args
    from kombu.serialization import register

    register("django_cereal_pickle", *register_args)

marks.install()
