"""Spans of OpenTelemetry that name the row of the method task they belong to.

It needs opentelemetry-sdk, which is the user's to install.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery._state import get_current_task
from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.trace import SpanKind

from . import display

if TYPE_CHECKING:
    from opentelemetry.context import Context


class RowSpanProcessor(SpanProcessor):
    """Gives spans that begin in a method's task the attributes of its row.

    Use it as in ``provider.add_span_processor(RowSpanProcessor())``. The attributes are
    ``cereal_methods.row`` (``<shop.Order 5>``), ``cereal_methods.model``,
    ``cereal_methods.pk`` and ``cereal_methods.database``; of a batch ``cereal_methods.rows``,
    their number, in the place of ``pk``. That is the span of Celery's instrumentation and
    those in it, but not of messages that the task sends, which are about other rows. No
    query is run and nothing is fetched.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add the attributes, if a task runs that has a row."""
        task = get_current_task()
        if task is None or span.kind is SpanKind.PRODUCER:
            return
        row = display.row_of(task)
        if row is not None:
            found = display.fields(task, row)
            span.set_attribute("cereal_methods.row", repr(row))
            for name in ("model", "pk", "rows", "database"):
                if name in found:
                    span.set_attribute(f"cereal_methods.{name}", found[name])
