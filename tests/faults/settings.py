"""Settings of these tests and their workers: the tests' own servers, whatever the environment says.

Each alias is a way of connecting; those of PostgreSQL lead to one database, as those of
MariaDB do. ``FAULTS_CELERY`` and ``FAULTS_CEREAL`` are JSON with further settings of Celery, and
of the library.
"""

from __future__ import annotations

import json
import os
import tempfile
from importlib.util import find_spec
from typing import Any

from tests.servers import HOST, Server
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

POSTGRES_PORT = Server("postgres").port
MARIADB_PORT = Server("mariadb").port
REDIS_PORT = Server("redis").port

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults"]

_postgres: dict[str, Any] = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "postgres",
    "USER": "postgres",
    "HOST": HOST,
    "PORT": POSTGRES_PORT,
    "OPTIONS": {"connect_timeout": 5},
}
_mariadb: dict[str, Any] = {
    "ENGINE": "django.db.backends.mysql",
    "NAME": "mysql",
    "USER": "root",
    "HOST": HOST,
    "PORT": MARIADB_PORT,
    "OPTIONS": {"connect_timeout": 5},
}
_sqlite = os.environ.setdefault("FAULTS_SQLITE", f"{tempfile.gettempdir()}/faults-{POSTGRES_PORT}")

DATABASES: dict[str, dict[str, Any]] = {
    "default": {**_postgres, "CONN_MAX_AGE": None},
    "pooled": {
        **_postgres,
        "OPTIONS": {"connect_timeout": 5, "pool": {"min_size": 3, "max_size": 10, "timeout": 5}},
    },
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _sqlite,
        "OPTIONS": {"timeout": 0.2},
    },
}
if find_spec("MySQLdb"):
    DATABASES["maria"] = {**_mariadb, "CONN_MAX_AGE": None}
DATABASE_ROUTERS: list[str] = []

#: Where the tests count, outside of the databases: the broker too, unless a test says otherwise.
LEDGER_URL = f"redis://{HOST}:{REDIS_PORT}/1"
CELERY_BROKER_URL = CELERY_RESULT_BACKEND = f"redis://{HOST}:{REDIS_PORT}/0"
CELERY_TASK_TRACK_STARTED = True
# A fetch is put off as often and as long as the library does it by default.
CEREAL_METHODS = json.loads(os.environ.get("FAULTS_CEREAL", "{}"))

vars().update(json.loads(os.environ.get("FAULTS_CELERY", "{}")))
