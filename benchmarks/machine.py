"""Where the figures were measured: versions of everything, and the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

PACKAGES: Final = (
    "django-cereal-methods", "Django", "celery", "kombu", "billiard", "amqp", "redis", "vine",
    "wrapt", "psycopg", "psycopg-binary", "hiredis", "matplotlib",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Return all that a reader needs to judge the figures, or to measure them again."""
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(_memory() / 2**20, 1),
            "system": platform.platform(),
            "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
            "load": os.getloadavg(),
        },
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "django-cereal": "0.2.1" if os.environ.get("BENCH_DJANGO_CEREAL") else None,
        "servers": {"postgresql": _postgresql(), "redis": _redis(), "rabbitmq": _rabbitmq()},
        "commit": _commit(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _memory() -> int:
    return int(Path("/proc/meminfo").read_text().split()[1])


def _postgresql() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        found: str = cursor.fetchone()[0]
    return found


def _redis() -> str | None:
    import redis

    try:
        found: str = redis.Redis.from_url(settings.REDIS_URL).info("server")["redis_version"]
    except redis.ConnectionError:
        return None
    return found


def _rabbitmq() -> str | None:
    from kombu import Connection

    if not urlsplit(settings.RABBITMQ_URL).hostname:
        return None
    try:
        with Connection(settings.RABBITMQ_URL, connect_timeout=2) as broker:
            found: str = broker.connection.server_properties["version"]
    except OSError:
        return None
    return found


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
