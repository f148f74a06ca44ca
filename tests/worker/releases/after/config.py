"""Settings of the release after."""

from tests.worker.settings import *  # noqa: F403
from tests.worker.settings import CEREAL_METHODS, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "store"]
CEREAL_METHODS = {**CEREAL_METHODS, "MODEL_ALIASES": {"store.Purchase": "store.Order"}}
