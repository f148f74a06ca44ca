from django.db import models  # noqa: F401

from cereal_methods import model_task  # noqa: F401
