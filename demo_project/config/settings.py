"""The shop's settings. Where it runs is in the environment, or on the disk beside it.

DATABASE_URL           sqlite:///..., postgres://..., mysql://...
CELERY_BROKER_URL      filesystem://, redis://..., amqp://...
CELERY_RESULT_BACKEND  file:///..., redis://...
SHOP_VAR               the folder for what has no server
"""

from pathlib import Path

import environ

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(env("SHOP_VAR", default=str(BASE_DIR / "var")))

SECRET_KEY = env(
    "SECRET_KEY", default="a key for the demo: a real shop keeps its own out of the code"
)
DEBUG = env.bool("DEBUG", default=True)
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "config.urls"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]

INSTALLED_APPS = ["cereal_methods", "shop"]

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{VAR / 'shop.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Two processes write to the file: the one that comes second waits.
    DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}

CELERY_BROKER_URL = env("CELERY_BROKER_URL", default="filesystem://")
CELERY_RESULT_BACKEND = env("CELERY_RESULT_BACKEND", default=f"file://{VAR / 'results'}")
CELERY_TASK_DEFAULT_QUEUE = env("CELERY_QUEUE", default="shop")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
if CELERY_BROKER_URL == "filesystem://":
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(VAR / "messages"),
        "data_folder_out": str(VAR / "messages"),
        "control_folder": str(VAR / "control"),
        "polling_interval": 0.1,
    }
for folder in ("messages", "control", "results"):
    (VAR / folder).mkdir(parents=True, exist_ok=True)

# What cereal_methods needs: workers take its messages.
CELERY_ACCEPT_CONTENT = ["json", "cereal-pickle", "cereal-json"]
CELERY_RESULT_SERIALIZER = "cereal-pickle"
