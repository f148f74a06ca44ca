"""Settings with an unreachable broker and result backend."""

SECRET_KEY = "secret"
INSTALLED_APPS = ["cereal_methods", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CELERY_BROKER_URL = "amqp://nobody:secret@127.0.0.1:1"  # pragma: allowlist secret
CELERY_RESULT_BACKEND = "rpc://"
CELERY_TASK_DEFAULT_QUEUE = "shop"
CELERY_ACCEPT_CONTENT = ["json", "cereal-pickle", "cereal-json"]
CELERY_RESULT_SERIALIZER = "cereal-pickle"
