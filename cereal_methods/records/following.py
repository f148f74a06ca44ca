"""What follows a durable task: links, the next step of a chain, and the body of a chord.

Celery sends it when the task's transaction has committed. The record keeps its message until then,
so that ``resend`` can have a worker send what follows, even if the worker died before it did and
the broker has lost the message too.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from ..results.messages import RECORD
from .databases import is_database
from .deliveries import place_of
from .models import State, TaskRecord
from .querysets import change

#: The attribute of a request whose task is followed.
_FOLLOWED: Final = "cereal_followed"

logger: Final = logging.getLogger("cereal_methods")


def note_following(request: Any) -> bool:
    """Return whether Celery sends something when the task of a request is done.

    It is noted in the request for ``on_success``.
    """
    if not (request.chain or request.callbacks or request.chord):
        return False
    setattr(request, _FOLLOWED, True)
    return True


def on_success(sender: Any = None, **kwargs: Any) -> None:
    """Drop the message of a task, because Celery has sent what follows it.

    A receiver of ``task_success``, which Celery sends after that.
    """
    # The chain may be empty by now: some versions of Celery take the next step out of it.
    if getattr(sender.request, _FOLLOWED, False):
        drop_message(sender.request)


def drop_message(request: Any) -> None:
    """Empty the message in the record of a request's task, which is done.

    If that is not possible, ``resend`` sends the message once more, which is harmless.
    """
    place = place_of(getattr(request, RECORD, None))
    if place is None or not is_database(place[0]):
        return  # a message without a record when it was sent: the record does not have it
    using, turn = place
    try:
        records = TaskRecord._base_manager.using(using).filter(
            pk=request.id, turn=turn, state=State.DONE
        )
        change(records, {"envelope": "", "body": b""})
    except Exception as error:
        logger.warning("The record of task %s keeps its message: %s", request.id, error)
