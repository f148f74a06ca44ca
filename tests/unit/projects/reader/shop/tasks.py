from shop.models import *  # noqa: F403
