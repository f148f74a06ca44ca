"""The directory of this user's journals."""

from __future__ import annotations

import logging
import os
import re
import stat
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

logger = logging.getLogger("cereal_methods")

#: After so many seconds a journal is deleted that no worker has continued.
_MAX_AGE: Final = 7 * 24 * 3600

#: The ids that can be the name of a file.
_FILE_NAME: Final = re.compile(r"[\w-]{1,100}\Z")


def path_of(batch_id: str) -> Path | None:
    """Return the path of a batch's journal, or None if it cannot have one."""
    folder = _folder()
    return folder / batch_id if folder is not None and _FILE_NAME.match(batch_id) else None


@cache
def _folder() -> Path | None:
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"cereal_methods-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(folder, user):
            logger.warning(
                "Batches do not keep journals in %s, because other users can access it.", folder
            )
            return None
        _delete_old_files(folder)
    except OSError as error:
        logger.warning("Batches cannot keep journals in %s: %s", folder, error)
        return None
    return folder


def _is_private(folder: Path, user: int) -> bool:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True
    others = stat.S_IRWXG | stat.S_IRWXO
    return status.st_uid == user and not status.st_mode & others


def _delete_old_files(folder: Path) -> None:
    oldest = time.time() - _MAX_AGE
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
