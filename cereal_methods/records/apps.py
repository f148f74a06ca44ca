"""The app of durable tasks."""

from __future__ import annotations

from typing import Any

from celery.signals import celeryd_init, task_postrun, task_success
from django.apps import AppConfig
from django.core.checks import Tags, register

from ..django_api.databases import call_before_connections_close


class RecordsConfig(AppConfig):
    """Adds the table of records, and lets the library record durable tasks in it."""

    name = "cereal_methods.records"
    label = "cereal_records"
    verbose_name = "Durable tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the records, their checks, and the steps of workers."""
        # These modules import the models, which are loaded only now.
        from ..checks import TAG
        from ..running import durability
        from .checks import check_routers, check_tables
        from .durable import Records
        from .following import on_success
        from .marks import mark_all

        durability.register(Records())
        register(check_routers, TAG)
        register(check_tables, TAG, Tags.database)
        celeryd_init.connect(_prepare_worker, dispatch_uid=__name__)
        task_postrun.connect(mark_all)
        task_success.connect(on_success)
        call_before_connections_close(mark_all)


def _prepare_worker(sender: Any = None, instance: Any = None, **kwargs: Any) -> None:
    # By name, so that other processes do not import them.
    for step in ("notes:NotesStep", "service:RelayStep"):
        instance.app.steps["worker"].add(f"cereal_methods.records.{step}")
