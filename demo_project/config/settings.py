"""The shop's settings, with environment variables for the servers.

DATABASE_URL           sqlite:///..., postgres://..., mysql://...
CELERY_BROKER_URL      filesystem://, redis://..., amqp://...
CELERY_RESULT_BACKEND  file:///..., redis://..., django-db
SHOP_CARRIER_SECONDS   how long a carrier takes to answer
SHOP_VAR               the directory for everything that does not have a server
"""

from importlib.util import find_spec
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
MIDDLEWARE = [
    "config.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "cereal_methods",
    "cereal_methods.records",
    "shop",
]
if find_spec("django_celery_results"):  # with it, the admin lists an order's last runs
    INSTALLED_APPS.append("django_celery_results")
    CELERY_RESULT_EXTENDED = True

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

CARRIER_SECONDS = env.float("SHOP_CARRIER_SECONDS", default=0.02)

# What cereal_methods needs: workers take its messages.
CELERY_ACCEPT_CONTENT = ["json", "cereal-pickle", "cereal-json"]
CELERY_RESULT_SERIALIZER = "cereal-pickle"
