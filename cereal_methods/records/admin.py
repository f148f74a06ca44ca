"""The page of records in Django's admin, where users can retry and cancel tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from celery import current_app
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Count
from django.urls import NoReverseMatch, reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..django_api.admin import content_type_of, may_view, quote, registered_admin, timesince
from .databases import databases
from .models import State, TaskRecord

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from .querysets import TaskRecordQuerySet

    _ModelAdmin = admin.ModelAdmin[TaskRecord]
else:
    _ModelAdmin = admin.ModelAdmin

#: The parameter in the address of the page that names the database.
_DATABASE = "database"


class DatabaseFilter(admin.SimpleListFilter):
    """Selects a database, if several have records; ``get_queryset`` applies it."""

    title = gettext_lazy("database")
    parameter_name = _DATABASE

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the databases that have records."""
        aliases = list(databases())
        return [(alias, alias) for alias in aliases] if len(aliases) > 1 else []

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Return the records unchanged, because ``get_queryset`` has applied the filter."""
        return queryset


class UnsentFilter(admin.SimpleListFilter):
    """Selects records that should have been sent a minute ago."""

    title = gettext_lazy("unsent")
    parameter_name = "unsent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the only choice beside "All"."""
        return [("1", gettext_lazy("for a minute or longer"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Return the records that wait unsent, or all."""
        return queryset.unsent() if self.value() == "1" else queryset


class TaskFilter(admin.SimpleListFilter):
    """Selects a durable task. The choices are the tasks of this process, without a query."""

    title = gettext_lazy("task")
    parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the names of durable tasks."""
        tasks = dict(current_app.tasks).items()
        names = sorted(name for name, task in tasks if _is_durable(task))
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Return the records of the task, or all."""
        return queryset.filter(task=self.value()) if self.value() else queryset


@admin.register(TaskRecord)
class TaskRecordAdmin(_ModelAdmin):
    """Shows records. Users who may change records can only retry and cancel tasks."""

    actions = ("retry", "cancel")
    change_list_template = "cereal_records/change_list.html"
    list_display_links = ("id",)
    list_filter = ("state", UnsentFilter, TaskFilter, DatabaseFilter)
    list_per_page = 50
    ordering = ("-created_at",)
    search_fields = ("id__exact", "row__exact", "model__exact", "task", "error")
    search_help_text = gettext_lazy("Id, row (shop.Order 5), task or error")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> TaskRecordQuerySet:
        """Return the records of the chosen database, without their messages."""
        records: Any = super().get_queryset(request)
        alias = _database(request)
        if alias is not None:
            records = records.using(alias)
        return records.defer("envelope", "body", "result")  # type: ignore[no-any-return]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Return the columns, with links for this user."""
        return ["id", "state", "task", self._row_column(request), short_error, age]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the fields of a record's page: all except its message and its result."""
        return [
            *("id", "state", "task", self._row_column(request), "error", "traceback"),
            *("attempts", "crashes", "created_at", "send_at", "sent_at", "started_at"),
            *("ended_at", "expires_at"),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return all fields."""
        return self.get_fields(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: tasks are sent by their methods."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: a record has no form. See ``has_steer_permission``."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: ``task_records purge`` deletes the records of tasks that ended long ago."""
        return False

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Whether the user may retry and cancel: with Django's permission to change records."""
        return super().has_change_permission(request)

    @admin.action(permissions=["steer"], description=gettext_lazy("Retry selected tasks"))
    def retry(self, request: HttpRequest, queryset: TaskRecordQuerySet) -> None:
        """Send the messages of the selected tasks again."""
        self._steer(
            request,
            queryset,
            lambda records: records.retry(),
            lambda number: ngettext(
                "%(number)s task will run again.", "%(number)s tasks will run again.", number
            ),
            _("A task can be retried if it is failed, canceled or expired and has its message."),
        )

    @admin.action(permissions=["steer"], description=gettext_lazy("Cancel selected tasks"))
    def cancel(self, request: HttpRequest, queryset: TaskRecordQuerySet) -> None:
        """Cancel the selected tasks that have not started."""
        self._steer(
            request,
            queryset,
            lambda records: records.cancel(),
            lambda number: ngettext(
                "%(number)s task is canceled.", "%(number)s tasks are canceled.", number
            ),
            _("A task can be canceled until it starts."),
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Return the list, with the number of records in each state."""
        context = {"record_counts": self._counts(request), **(extra_context or {})}
        return super().changelist_view(request, context)

    def _counts(self, request: HttpRequest) -> list[dict[str, Any]]:
        records = self.get_queryset(request).order_by()
        counts = dict(records.values_list("state").annotate(Count("pk")))
        alias = request.GET.get(_DATABASE)
        chosen = {} if alias is None else {_DATABASE: alias}
        counted = [
            (state.label, counts.get(state.value, 0), {"state__exact": state.value})
            for state in State
        ]
        unsent = records.unsent().count() if counts.get(State.WAITING.value) else 0
        if unsent:
            counted.append((_("Unsent for a minute"), unsent, {"unsent": "1"}))
        return [
            {"label": label, "number": _number(number), "url": f"?{urlencode({**chosen, **query})}"}
            for label, number, query in counted
        ]

    def _steer(
        self,
        request: HttpRequest,
        queryset: TaskRecordQuerySet,
        change: Callable[[TaskRecordQuerySet], int],
        text: Callable[[int], str],
        remedy: str,
    ) -> None:
        total = queryset.count()
        number = change(queryset)
        done = text(number) % {"number": _number(number)}
        if number:
            LogEntry.objects.create(
                user_id=request.user.pk,
                content_type=content_type_of(self.model),
                object_repr=str(self.opts.verbose_name_plural)[:200],
                action_flag=CHANGE,
                change_message=done,
            )
            self.message_user(request, done, messages.SUCCESS)
        if number < total:
            unchanged = ngettext(
                "%(number)s task was not changed.", "%(number)s tasks were not changed.",
                total - number,
            ) % {"number": _number(total - number)}  # fmt: skip
            self.message_user(request, f"{unchanged} {remedy}", messages.WARNING)

    def _row_column(self, request: HttpRequest) -> Callable[[TaskRecord], str | SafeString]:
        """Return the column of the row, with a link for users who may see it."""

        @admin.display(description=_("row"))
        def row(record: TaskRecord) -> str | SafeString:
            text = f"{record.model} {record.row}".strip() or self.get_empty_value_display()
            url = self._url_of(request, record)
            return format_html('<a href="{}">{}</a>', url, text) if url else text

        return row

    def _url_of(self, request: HttpRequest, record: TaskRecord) -> str:
        """Return the address of a row's page, or "" if the user may not see one."""
        if not record.row:
            return ""
        try:
            model = apps.get_model(record.model)
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
            url = reverse(name, args=[quote(record.row)], current_app=self.admin_site.name)
        except (LookupError, ValueError, NoReverseMatch):
            return ""
        model_admin = registered_admin(self.admin_site, model)
        return url if model_admin is not None and may_view(model_admin, request) else ""


@admin.display(description=gettext_lazy("error"))
def short_error(record: TaskRecord) -> str:
    """Return the first line of a record's error."""
    return Truncator(record.error.partition("\n")[0]).chars(100)


@admin.display(description=gettext_lazy("age"), ordering="created_at")
def age(record: TaskRecord) -> str:
    """Return how long ago a task was sent, in words."""
    return timesince(record.created_at)


def _database(request: HttpRequest) -> str | None:
    """Return the database that the address names, or that the list before this page showed."""
    alias = request.GET.get(_DATABASE)
    if alias is None:
        filters = parse_qs(request.GET.get("_changelist_filters", ""))
        alias = filters.get(_DATABASE, [None])[0]
    return alias if alias in set(databases()) else None


def _is_durable(task: Any) -> bool:
    return bool(getattr(getattr(task, "target", None), "is_durable", False))


def _number(number: int) -> str:
    return str(number_format(number, force_grouping=True))
