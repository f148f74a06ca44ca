"""Serve the shop's admin, together with a Celery worker, until Ctrl-C.

    python demo_project/serve.py [port or address:port]

It does not need a server: the database is SQLite, and messages are files. The data stays in
demo_project/var, or where SHOP_VAR, DATABASE_URL, CELERY_BROKER_URL and CELERY_RESULT_BACKEND say.
Each start sets a new password for the login.
"""

import importlib.util
import os
import random
import secrets
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from demo import HERE, worker

PAID, SHIPPED = 300, 200
STREETS = ["Long Street", "Short Street", "Mill Lane", "Harbour Road", "Church Hill"]
CITIES = ["Springfield", "Riverside", "Lakeview"]


def main(address="8000"):
    """Prepare the shop, and run a worker and Django's server until the server ends."""
    address = address if ":" in address else f"127.0.0.1:{address}"
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    if importlib.util.find_spec("django_celery_results"):
        os.environ.setdefault("CELERY_RESULT_BACKEND", "django-db")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    stock()
    password = login()
    var = Path(django.conf.settings.VAR)
    runserver = [sys.executable, "manage.py", "runserver", "--noreload", address]
    with worker(var / "worker.log"), subprocess.Popen(runserver, cwd=HERE) as server:
        print(f"\nThe shop's admin: http://{address}/admin/shop/order/?status__exact=paid")
        print(f"Log in as demo with the password {password}")
        print(f"The worker's log: {var / 'worker.log'}. Ctrl-C ends both.\n", flush=True)
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()


def stock():
    """Create some hundred orders if the shop is empty. A few paid ones lack a street."""
    from shop.models import Customer, Order

    if Order.objects.exists():
        return
    chance = random.Random(500)  # noqa: S311  (the same shop each time)
    customers = Customer.objects.bulk_create(
        Customer(name=f"Customer {number}", email=f"customer-{number}@example.com")
        for number in range(1, 21)
    )
    Order.objects.bulk_create(
        Order(
            customer=chance.choice(customers),
            number=f"2026-{number:04}",
            status="shipped" if number <= SHIPPED else "paid",
            carrier=chance.choice(["dhl", "gls", "ups"]) if number <= SHIPPED else "",
            street=""
            if number > SHIPPED and number % 70 == 0
            else f"{chance.randint(1, 99)} {chance.choice(STREETS)}",
            city=chance.choice(CITIES),
            total=Decimal(chance.randint(500, 25000)) / 100,
        )
        for number in range(1, SHIPPED + PAID + 1)
    )


def login():
    """Give the user demo a new password, and return it."""
    from django.contrib.auth import get_user_model

    password = secrets.token_urlsafe(9)
    user, _ = get_user_model().objects.get_or_create(username="demo")
    user.is_staff = user.is_superuser = True
    user.set_password(password)
    user.save()
    return password


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
