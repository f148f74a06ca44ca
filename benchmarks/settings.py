"""Django settings of the benchmarks: servers on their usual ports, or by the environment."""

from __future__ import annotations

import environ

env = environ.Env()

SECRET_KEY = "the key of the benchmarks"  # noqa: S105
USE_TZ = True
INSTALLED_APPS = ["cereal_methods", "benchmarks"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

POSTGRES_URL = env(
    "BENCH_POSTGRES_URL", default="postgres://postgres@127.0.0.1:5432/cereal_methods_bench"
)
REDIS_URL = env("BENCH_REDIS_URL", default="redis://127.0.0.1:6379/13")
RABBITMQ_URL = env("BENCH_RABBITMQ_URL", default="amqp://guest:guest@127.0.0.1:5672//")

#: Whether durable tasks and what they are compared with have their tables, in a schema of theirs.
RECORDS = env.bool("BENCH_RECORDS", default=False)
RECORDS_SCHEMA = "bench_records"

#: Whether the worker keeps its database connections from one task to the next.
PERSISTENT = env.bool("BENCH_PERSISTENT", default=False)

DATABASES = {"default": env.db_url_config(POSTGRES_URL)}
DATABASES["default"]["CONN_MAX_AGE"] = None if PERSISTENT else 0
if RECORDS:
    INSTALLED_APPS += [
        "cereal_methods.records",
        "django_celery_outbox",
        "procrastinate.contrib.django",
    ]
    DATABASES["default"]["OPTIONS"] = {"options": f"-c search_path={RECORDS_SCHEMA},public"}
    CELERY_OUTBOX_APP = "benchmarks.celery.app"
# Celery closes what CONN_MAX_AGE keeps, unless this says otherwise; its default is None.
CELERY_DB_REUSE_MAX = 1_000_000_000 if PERSISTENT else None

BROKER = env("BENCH_BROKER", default="redis")
CELERY_BROKER_URL = {"redis": REDIS_URL, "rabbitmq": RABBITMQ_URL, "memory": "memory://"}[BROKER]
# Results cost the same in all contenders, and would only hide the differences.
CELERY_RESULT_BACKEND = REDIS_URL if env.bool("BENCH_RESULTS", default=False) else "disabled://"
CELERY_RESULT_EXPIRES = 600
CELERY_ACCEPT_CONTENT = ["json", "cereal-pickle", "cereal-json"]
CELERY_ACCEPT_CONTENT += env.list("BENCH_ACCEPT", default=[])
CELERY_TASK_DEFAULT_QUEUE = env("BENCH_QUEUE", default="bench")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
