"""Sending a method from the admin: the rows, the log entry, and what the user is told."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.utils import model_ngettext
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from .. import canvas
from ..bulk import Bulk
from ..exceptions import BulkInterrupted, ResultsNotKept
from .runs import Run

if TYPE_CHECKING:
    from django.db import models
    from django.http import HttpRequest

    from .actions import MethodAction, TaskAdmin

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A method that is to be sent for rows, once for a request."""

    model_admin: TaskAdmin
    request: HttpRequest
    action: MethodAction
    bulk: Bulk
    #: The object, where it was sent from the page of one.
    obj: models.Model | None = None

    @classmethod
    def prepare(
        cls,
        model_admin: TaskAdmin,
        request: HttpRequest,
        action: MethodAction,
        rows: Any,
        total: int,
        cleaned: dict[str, Any],
        obj: models.Model | None = None,
    ) -> Dispatch:
        """Check the call. Raises ``CerealError``, or ``TypeError`` if the arguments do not fit."""
        args, kwargs = action.call(cleaned)
        size = action.batch_size(total)
        bulk = Bulk(action.task, action.model, rows, args, kwargs, size, {})
        return cls(model_admin, request, action, bulk, obj)

    def send(self) -> str | None:
        """Send it when the request's transaction commits, if it has one, else at once.

        Returns the id of the bulk if there is a page that shows its progress.
        """
        result = self.bulk.result
        is_shown = result.is_kept and not self.bulk.task.app.conf.task_always_eager
        # None stands for what is not known before the commit.
        is_sent = canvas.on_commit(self._send, None, self.bulk.using)
        return result.id if is_shown and is_sent is not False else None

    def _send(self) -> bool:
        """Send, and tell the user; return whether there is a run to look at."""
        result, title = self.bulk.result, self.action.title
        try:
            self.bulk.send()
        except BulkInterrupted as error:
            logger.exception("%s was not sent for all rows", self.bulk.task.name)
            reason = reason_of(error.__cause__ or error)
            told = _("“%(title)s” was sent for %(rows)s, and not for the others: %(reason)s")
            self._tell(messages.ERROR, told, rows=self._rows(result.total), reason=reason)
        except Exception as error:  # of the broker or of the result backend, whose own differ
            logger.exception("%s was not sent", self.bulk.task.name)
            told = _("“%(title)s” was not sent: %(reason)s")
            self._tell(messages.ERROR, told, reason=reason_of(error))
            return False
        else:
            if result.total == 0:
                told = _("“%(title)s” was not sent: none of the rows is there any more.")
                self._tell(messages.WARNING, told)
                return False
            self._tell_sent()
        is_kept = self._keep()
        self.model_admin.log_model_task(self.request, title, result.id, result.total, obj=self.obj)
        return is_kept

    def _keep(self) -> bool:
        result = self.bulk.result
        if self.bulk.task.app.conf.task_always_eager:
            return False
        try:
            Run.begin(result, self.action.model, self.action.name, self.request.user).save()
        except ResultsNotKept:
            self._tell(messages.INFO, _("Its progress is not known: results are not kept."))
        except Exception as error:  # whatever a backend's client raises: the messages have left
            logger.exception("The bulk %s could not be saved", result.id)
            told = _("Its progress will not be shown: %(reason)s")
            self._tell(messages.WARNING, told, reason=reason_of(error))
        else:
            return True
        return False

    def _tell_sent(self) -> None:
        result = self.bulk.result
        counts = result.counts() if self.bulk.task.app.conf.task_always_eager else None
        if counts is None:
            told = _("“%(title)s” was sent for %(rows)s.")
            self._tell(messages.SUCCESS, told, rows=self._rows(result.total))
            return
        told = _("“%(title)s”: %(succeeded)s succeeded, %(failed)s failed, %(missing)s missing.")
        level = messages.SUCCESS if counts.succeeded == counts.total else messages.ERROR
        numbers = {"failed": counts.failed, "missing": counts.missing}
        self._tell(level, told, succeeded=counts.succeeded, **numbers)

    def _rows(self, number: int) -> str:
        return rows_of(self.action.model, number)

    def _tell(self, level: int, told: str, **values: Any) -> None:
        text = told % {"title": self.action.title, **values}
        self.model_admin.message_user(self.request, text, level)


def rows_of(model: type[models.Model], number: int) -> str:
    """Return a number of rows in words: ``300 orders``."""
    grouped = number_format(number, force_grouping=True)
    return _("%(number)s %(name)s") % {
        "number": grouped,
        "name": model_ngettext(model._meta, number),
    }


def reason_of(error: BaseException) -> str:
    """Return what a user is told of an error."""
    return f"{type(error).__name__}: {error}"
