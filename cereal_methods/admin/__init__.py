"""Method tasks in Django's admin: as actions, as buttons of an object, and with their progress.

Add ``ModelTaskAdmin`` to a ``ModelAdmin``, and name the methods that it offers::

    @admin.register(Order)
    class OrderAdmin(ModelTaskAdmin, admin.ModelAdmin):
        model_task_actions = ["pack", ModelTaskAction("ship", permissions=["ship"])]
"""

from __future__ import annotations

from .actions import ModelTaskAction
from .options import ModelTaskAdmin

__all__ = ["ModelTaskAction", "ModelTaskAdmin"]
