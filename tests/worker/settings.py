"""Settings of the worker tests: real servers, the tests' own or those of the environment.

The tests make the database ``test_cereal_methods``, and so its name differs in
the workers, which find it existing. Processes of tests that run side by side have
databases of their own, by the name that pytest-xdist gives them.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from urllib.parse import urlsplit

from tests.servers import url
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, env

INSTALLED_APPS = [*INSTALLED_APPS, "tests.watch"]

# In processes of the tests of periodic tasks.
if env.bool("TEST_BEAT", default=False) and find_spec("django_celery_beat"):
    INSTALLED_APPS = [*INSTALLED_APPS, "django_celery_beat"]
    MIGRATION_MODULES = {"django_celery_beat": None}  # its tables are made at once

POSTGRES_URL = url("postgres")
MARIADB_URL = url("mariadb")
REDIS_URL = url("redis")
RABBITMQ_URL = url("rabbitmq")

DATABASE_URL = (
    POSTGRES_URL if env("TEST_DATABASE", default="postgres") == "postgres" else MARIADB_URL
)
DATABASES = {"default": env.db_url_config(DATABASE_URL)}
PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "")
if PROCESS:
    DATABASES["default"]["NAME"] = f"{DATABASES['default']['NAME']}_{PROCESS}"
if "TEST_WORKER" in os.environ:
    DATABASES["default"]["NAME"] = f"test_{DATABASES['default']['NAME']}"
if env.bool("TEST_POOL", default=False) and find_spec("psycopg_pool"):
    DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 12, "timeout": 5}}
DATABASES["archive"] = {**DATABASES["default"], "NAME": f"{DATABASES['default']['NAME']}_archive"}
DATABASES["replica"] = {**DATABASES["default"], "TEST": {"MIRROR": "default"}}

# Where nothing else is said: Redis for messages and results; where "rabbitmq" is,
# RabbitMQ for messages and the database for results.
if env("TEST_BROKER", default="redis") == "redis":
    CELERY_BROKER_URL = CELERY_RESULT_BACKEND = REDIS_URL
else:
    CELERY_BROKER_URL = RABBITMQ_URL
    _server = urlsplit(POSTGRES_URL)._replace(scheme="db+postgresql+psycopg", path="/postgres")
    CELERY_RESULT_BACKEND = _server.geturl()
CELERY_RESULT_EXPIRES = 600

SECRET_KEY = env("TEST_SECRET_KEY", default=SECRET_KEY)  # noqa: F405
SECRET_KEY_FALLBACKS = env.list("TEST_SECRET_KEY_FALLBACKS", default=[])
CEREAL_METHODS = {
    **CEREAL_METHODS,  # noqa: F405
    "SIGNING_KEY": env("TEST_SIGNING_KEY", default=None),
    "SIGNING_KEY_FALLBACKS": env.list("TEST_SIGNING_KEY_FALLBACKS", default=None),
}
CEREAL_METHODS = {**CEREAL_METHODS, "FETCH_RETRY_BACKOFF": 0.1, "FETCH_RETRY_BACKOFF_MAX": 0.4}
for _name in ("SIGN_ALL", "REQUIRE_SIGNED", "REQUIRE_BOUND"):
    CEREAL_METHODS[_name] = env.bool(f"TEST_{_name}", default=False)
for _name in ("MAX_CRASHES", "DURABLE_MAX_CRASHES", "FETCH_MAX_RETRIES"):
    if f"TEST_{_name}" in os.environ:
        CEREAL_METHODS[_name] = env.int(f"TEST_{_name}")
