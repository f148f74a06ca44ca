"""Method tasks in Django's admin: as actions, on the object page, with their progress.

Put ``ModelTaskAdmin`` on a ``ModelAdmin``, and name the methods that it offers::

    @admin.register(Order)
    class OrderAdmin(ModelTaskAdmin, admin.ModelAdmin):
        model_task_actions = ["pack", ModelTaskAction("ship", permissions=["ship"])]
"""

from __future__ import annotations

from .actions import ModelTaskAction
from .options import ModelTaskAdmin

__all__ = ["ModelTaskAction", "ModelTaskAdmin"]
