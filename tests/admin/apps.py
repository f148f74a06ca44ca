"""The app of the models whose admin is tested."""

from __future__ import annotations

from django.apps import AppConfig


class WarehouseConfig(AppConfig):
    name = "tests.admin"
    label = "warehouse"
    default_auto_field = "django.db.models.BigAutoField"
