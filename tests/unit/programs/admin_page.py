"""Print what Django's admin shows of an order, in the project of docs/admin.md."""

from __future__ import annotations

import django

import tests.celery  # noqa: F401  (the project's app)

django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

from cereal_methods.admin.history import is_kept  # noqa: E402
from shop.models import Order  # noqa: E402  (of the current directory)

call_command("check")
call_command("migrate", run_syncdb=True, verbosity=0)
order = Order.objects.create(number="1")
client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create(username="a", is_staff=True, is_superuser=True))
page = client.get(f"/admin/shop/order/{order.pk}/change/").content.decode()
print("Ship…" in page, "Pack…" in page, "Print address labels" in page, is_kept())
print(sorted(admin.site._registry[Order].model_task_actions[1].permissions))
