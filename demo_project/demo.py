"""Demonstrate the shop, with a real Celery worker in a separate process.

It does not need a server: the database is SQLite, and messages and results are files, all in a
temporary directory. DATABASE_URL, CELERY_BROKER_URL and CELERY_RESULT_BACKEND select others.
Exits with 1 if a step fails.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import traceback
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: Seconds to wait for the worker, including its start.
PATIENCE = 60


def main():
    """Create an empty shop, start a worker, and run the steps."""
    with tempfile.TemporaryDirectory(prefix="shop-", ignore_cleanup_errors=True) as folder:
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        os.environ["SHOP_VAR"] = folder
        os.environ["CELERY_QUEUE"] = f"shop-{uuid.uuid4().hex[:8]}"  # used by this demo only
        import django
        from django.core.management import call_command
        from django.db import connection

        django.setup()
        call_command("migrate", verbosity=0)
        from demo_steps import STEPS, Shop, Unexpected, say

        settings = django.conf.settings
        broker = settings.CELERY_BROKER_URL.partition(":")[0]
        say(f"The shop: {connection.display_name}, messages in {broker}.")
        log = Path(folder) / "worker.log"
        with (
            contextlib.ExitStack() as stack,
            Shop(lambda: stack.enter_context(worker(log)), PATIENCE) as shop,
        ):
            say(f"This is process {os.getpid()}. The Celery worker is process {shop.worker.pid}.")
            try:
                for number, step in enumerate(STEPS, 1):
                    say(f"\n{number}. {step.__doc__}")
                    step(shop)
            except Exception as error:
                if not isinstance(error, Unexpected):
                    traceback.print_exc()
                say(f"\nA step failed: {error}\nThe end of the worker's log:")
                say("".join(log.read_text(errors="replace").splitlines(keepends=True)[-40:]))
                return 1
            finally:
                remove_queue()
        say("\nAll steps succeeded.")
        return 0


@contextlib.contextmanager
def worker(log):
    """Run ``celery worker`` in a separate process, with its log in a file."""
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--concurrency=2"]
    command += ["--without-gossip", "--without-mingle", "--loglevel=INFO"]
    command += ["--hostname", f"{os.environ.get('CELERY_QUEUE', 'shop')}@%h"]
    if os.name == "nt":
        command.append("--pool=solo")
    with log.open("a") as output:
        # In a session of its own, so that a step can kill it with all of its processes.
        process = subprocess.Popen(
            command, cwd=HERE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def remove_queue():
    """Delete the demo's queue from the broker."""
    from config import celery_app

    with contextlib.suppress(OSError), celery_app.connection_for_write() as connection:
        queue = celery_app.amqp.queues[os.environ["CELERY_QUEUE"]](connection.default_channel)
        queue.declare()
        queue.delete()


if __name__ == "__main__":
    sys.exit(main())
