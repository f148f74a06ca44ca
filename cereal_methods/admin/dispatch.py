"""Sending a method from the admin: the rows, the log entry, and the user's message."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from ..django_api.admin import model_ngettext
from ..exceptions import BulkInterrupted, CerealError, ResultsNotKept
from ..sending import commits
from ..sending.bulk import Bulk
from .runs import Run

if TYPE_CHECKING:
    from django.db import models
    from django.http import HttpRequest

    from .actions import MethodAction, TaskAdmin

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Dispatch:
    """A method that a request sends for rows."""

    model_admin: TaskAdmin
    request: HttpRequest
    action: MethodAction
    #: The object, if the method is sent from an object's page.
    obj: models.Model | None = None
    bulk: Bulk = field(init=False)

    def send(self, rows: Any, total: int, cleaned: dict[str, Any]) -> str | None:
        """Send at once or, if the request has a transaction, when it commits.

        Return the id of the bulk if a page can show its progress, else None. ``total`` is the
        number of ``rows``, ``cleaned`` the data of the form that asked for arguments.
        """
        try:
            args, kwargs = self.action.call(cleaned)
            size = self.action.batch_size(total)
            self.bulk = Bulk(self.action.task, self.action.model, rows, args, kwargs, size, {})
        except (CerealError, TypeError) as error:  # the arguments do not fit, or not the rows
            self._message_not_sent(error)
            return None
        result = self.bulk.result
        is_shown = result.is_kept and not self.bulk.task.app.conf.task_always_eager
        # None if the transaction has yet to commit.
        is_sent = commits.on_commit(self._send, None, self.bulk.using)
        return result.id if is_shown and is_sent is not False else None

    def _send(self) -> bool:
        """Send, and tell the user; return whether the run can be shown."""
        result, title = self.bulk.result, self.action.title
        try:
            self.bulk.send()
        except BulkInterrupted as error:
            logger.exception("%s was not sent for all rows", self.bulk.task.name)
            reason = reason_of(error.__cause__ or error)
            text = _("“%(title)s” was sent for %(rows)s, but not for the others: %(reason)s")
            self._message(messages.ERROR, text, rows=self._rows(result.total), reason=reason)
        except Exception as error:  # brokers and result backends raise errors of many kinds
            self._message_not_sent(error)
            return False
        else:
            if result.total == 0:
                text = _("“%(title)s” was not sent: the rows do not exist any more.")
                self._message(messages.WARNING, text)
                return False
            self._message_sent()
        is_kept = self._keep()
        self.model_admin.log_model_task(self.request, title, result.id, result.total, obj=self.obj)
        return is_kept

    def _keep(self) -> bool:
        result = self.bulk.result
        if self.bulk.task.app.conf.task_always_eager:
            return False
        try:
            Run.of(result, self.action.model, self.action.name, self.request.user).save()
        except ResultsNotKept:
            self._message(messages.INFO, _("Progress is not available: results are not kept."))
        except Exception as error:  # the messages are sent; a backend may raise anything
            logger.exception("The bulk %s could not be saved", result.id)
            text = _("Progress is not available: %(reason)s")
            self._message(messages.WARNING, text, reason=reason_of(error))
        else:
            return True
        return False

    def _message_not_sent(self, error: Exception) -> None:
        """Log the error that is being handled, and tell the user."""
        logger.exception("%s was not sent", self.action.name)
        text = _("“%(title)s” was not sent: %(reason)s")
        self._message(messages.ERROR, text, reason=reason_of(error))

    def _message_sent(self) -> None:
        result = self.bulk.result
        counts = result.counts() if self.bulk.task.app.conf.task_always_eager else None
        if counts is None:
            text = _("“%(title)s” was sent for %(rows)s.")
            self._message(messages.SUCCESS, text, rows=self._rows(result.total))
            return
        text = _("“%(title)s”: %(succeeded)s succeeded, %(failed)s failed, %(missing)s missing.")
        level = messages.SUCCESS if counts.succeeded == counts.total else messages.ERROR
        numbers = {"failed": counts.failed, "missing": counts.missing}
        self._message(level, text, succeeded=counts.succeeded, **numbers)

    def _rows(self, number: int) -> str:
        return rows_of(self.action.model, number)

    def _message(self, level: int, text: str, **values: Any) -> None:
        values["title"] = self.action.title
        self.model_admin.message_user(self.request, text % values, level)


def rows_of(model: type[models.Model], number: int) -> str:
    """Return a number of rows as text: ``300 orders``."""
    grouped = number_format(number, force_grouping=True)
    return _("%(number)s %(name)s") % {
        "number": grouped,
        "name": model_ngettext(model._meta, number),
    }


def reason_of(error: BaseException) -> str:
    """Return an error's type and message, for the user."""
    return f"{type(error).__name__}: {error}"
