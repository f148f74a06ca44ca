"""Settings of the release before."""

from tests.worker.settings import *  # noqa: F403
from tests.worker.settings import CEREAL_METHODS, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "store"]

# What the next release calls it: its messages may come here, while it is being deployed.
CEREAL_METHODS = {**CEREAL_METHODS, "MODEL_ALIASES": {"store.Order": "store.Purchase"}}
