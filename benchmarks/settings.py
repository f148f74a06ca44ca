"""Django settings of the benchmarks: PostgreSQL and Redis, at home or by the environment."""

from __future__ import annotations

import environ

env = environ.Env()

SECRET_KEY = "the key of the benchmarks"  # noqa: S105
USE_TZ = True
INSTALLED_APPS = ["cereal_methods", "benchmarks"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": env.db_url(
        "BENCH_POSTGRES_URL", default="postgres://postgres@127.0.0.1:5432/bulk_bench"
    )
}

CELERY_BROKER_URL = env("BENCH_REDIS_URL", default="redis://127.0.0.1:6379/13")
CELERY_RESULT_BACKEND = CELERY_BROKER_URL
CELERY_ACCEPT_CONTENT = ["json", "cereal-pickle"]
CELERY_RESULT_EXPIRES = 600
CELERY_TASK_DEFAULT_QUEUE = env("BENCH_QUEUE", default="bulk-bench")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

# For how many tasks Celery keeps a database connection; its default is one.
CELERY_DB_REUSE_MAX = env.int("BENCH_DB_REUSE_MAX", default=0)
