"""The row of a task in OpenTelemetry's spans; it needs opentelemetry-sdk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.trace import SpanKind

from ..celery_api.tasks import get_current_task
from ..running import text

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = ["RowSpanProcessor"]


class RowSpanProcessor(SpanProcessor):
    """Adds the row of a method's task to the spans that start in the task.

    Use it as in ``provider.add_span_processor(RowSpanProcessor())``. A span gets the attributes
    ``cereal_methods.row`` (str: ``<shop.Order 5>``), ``cereal_methods.model`` (str),
    ``cereal_methods.pk`` (int or str) and ``cereal_methods.database`` (str). A batch has
    ``cereal_methods.rows`` (int, their number) instead of ``pk``. The attributes are set on the
    span of Celery's instrumentation and on the spans inside it, except for those of messages
    that the task sends, which concern other rows. The processor runs no query.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add the attributes, if the running task has a row."""
        task = get_current_task()
        if task is None or span.kind is SpanKind.PRODUCER:
            return
        row = text.row_of(task)
        if row is not None:
            fields = text.fields(task, row)
            span.set_attribute("cereal_methods.row", repr(row))
            for name in ("model", "pk", "rows", "database"):
                if name in fields:
                    span.set_attribute(f"cereal_methods.{name}", fields[name])
