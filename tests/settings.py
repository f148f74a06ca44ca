"""Django settings of the tests; the environment says which servers they use.

``worker`` tests start real workers, which are other processes: they find their
database, broker and result backend in the environment too.
"""

from __future__ import annotations

import environ

env = environ.Env()

SECRET_KEY = "the key of the tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["cereal_methods", "cereal_methods.records", "tests.shop", "tests.bank"]

DATABASES = {
    "default": env.db_url("TEST_DATABASE_URL", default="sqlite://:memory:"),
    "archive": env.db_url("TEST_ARCHIVE_URL", default="sqlite://:memory:"),
}
DATABASE_ROUTERS = ["tests.shop.routers.ReplicaRouter"]

CEREAL_METHODS = {
    "SERIALIZER": env("TEST_SERIALIZER", default="cereal-pickle"),
    # Workers have no relay but for the tests of it: others count queries and processes.
    "RECORDS_INTERVAL": env.float("TEST_RECORDS_INTERVAL", default=0),
}

CELERY_BROKER_URL = env("TEST_BROKER_URL", default="memory://")
CELERY_RESULT_BACKEND = env("TEST_RESULT_BACKEND", default="cache+memory://")
CELERY_TASK_SERIALIZER = env("TEST_TASK_SERIALIZER", default="json")
CELERY_RESULT_SERIALIZER = env("TEST_RESULT_SERIALIZER", default="cereal-pickle")
CELERY_ACCEPT_CONTENT = [
    "json",
    "cereal-pickle",
    "cereal-json",
    "cereal-yaml",
    "cereal-msgpack",
    "django_cereal_pickle",
]
CELERY_RESULT_EXTENDED = env.bool("TEST_RESULT_EXTENDED", default=False)
CELERY_DB_REUSE_MAX = env.int("TEST_REUSE", default=None)
CELERY_BEAT_SCHEDULE = env.json("TEST_BEAT_SCHEDULE", default={})
CELERY_RESULT_CHORD_RETRY_INTERVAL = 0.2
CELERY_TASK_DEFAULT_QUEUE = env("TEST_QUEUE", default="celery")
CELERY_TASK_ALLOW_ERROR_CB_ON_CHORD_HEADER = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
