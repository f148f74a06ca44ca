"""The demo project, served as its own command does it, on real servers."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

from django.conf import settings

ROOT = Path(__file__).parents[2]
START_SECONDS = 90
STOP_SECONDS = 40


class Shop:
    """``serve.py`` in a process of its own: the admin and a worker."""

    def __init__(self, folder: Path, database_url: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.log = folder / "serve.log"
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
            "CELERY_RESULT_BACKEND": "django-db",
            "CELERY_QUEUE": f"shop-{uuid.uuid4().hex[:12]}",
            "SHOP_VAR": str(folder),
            "SHOP_CARRIER_SECONDS": "0.04",
            "PYTHONUNBUFFERED": "1",
        }
        self.environment.pop("DJANGO_SETTINGS_MODULE")

    def __enter__(self) -> Self:
        command = [sys.executable, "demo_project/serve.py", self.address]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        said = self._wait_for(
            lambda: re.search(r"Log in as (\S+) with the password (\S+)", self.log.read_text())
        )
        self.user, self.password = said.groups()
        self._wait_for(self._answers)
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        finally:
            self.process.kill()

    def url(self, path: str) -> str:
        """Return the address of a page of the admin."""
        return f"http://{self.address}/admin/{path}"

    def _answers(self) -> bool:
        try:
            with urlopen(self.url("login/"), timeout=5) as response:
                return response.status == 200
        except OSError:
            return False

    def _wait_for(self, happened: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if answer := happened():
                return answer
            time.sleep(0.1)
        raise AssertionError(f"The shop is not there:\n{self.log.read_text()}")
