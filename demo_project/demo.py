"""Show the shop at work, with a real Celery worker beside this process.

Needs no server: SQLite, a message queue of files and results in files, all in a
temporary folder. DATABASE_URL, CELERY_BROKER_URL and CELERY_RESULT_BACKEND put it
on others. Exits with 1 if anything is not as it says.
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

#: Seconds that a worker may take for anything, its start included.
PATIENCE = 60


def main():
    """Prepare an empty shop, run a worker, and go through the steps."""
    with tempfile.TemporaryDirectory(prefix="shop-", ignore_cleanup_errors=True) as folder:
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        os.environ["SHOP_VAR"] = folder
        os.environ["CELERY_QUEUE"] = f"shop-{uuid.uuid4().hex[:8]}"  # nobody else's messages
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
        with worker(log) as process, Shop(process, PATIENCE) as shop:
            say(f"This is process {os.getpid()}. A Celery worker was started as {process.pid}.")
            try:
                for number, step in enumerate(STEPS, 1):
                    say(f"\n{number}. {step.__doc__}")
                    step(shop)
            except Exception as error:
                if not isinstance(error, Unexpected):
                    traceback.print_exc()
                say(f"\nThis went wrong: {error}\nThe end of the worker's log:")
                say("".join(log.read_text(errors="replace").splitlines(keepends=True)[-40:]))
                return 1
            finally:
                remove_queue()
        say("\nAll of it went as it should.")
        return 0


@contextlib.contextmanager
def worker(log):
    """Run ``celery worker`` in a process of its own, with its log in a file."""
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--concurrency=2"]
    command += ["--without-gossip", "--without-mingle", "--loglevel=INFO"]
    command += ["--hostname", f"{os.environ.get('CELERY_QUEUE', 'shop')}@%h"]
    if os.name == "nt":
        command.append("--pool=solo")
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=HERE, stdout=output, stderr=subprocess.STDOUT)
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
    """Leave nothing on a broker that others use too."""
    from config import celery_app

    with contextlib.suppress(OSError), celery_app.connection_for_write() as connection:
        queue = celery_app.amqp.queues[os.environ["CELERY_QUEUE"]](connection.default_channel)
        queue.declare()
        queue.delete()


if __name__ == "__main__":
    sys.exit(main())
