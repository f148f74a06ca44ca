"""Method tasks in the admin."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from cereal_methods.admin import ModelTaskAction, ModelTaskAdmin

from .shop import Order


class ShipForm(forms.Form):
    carrier = forms.CharField()


class Alone(ModelTaskAdmin[Order]):
    model_task_actions = [
        "notify",
        ModelTaskAction("ship", form=ShipForm, permissions=["ship"], confirm=_("Really?")),
        ModelTaskAction("number", description=_("Number"), fields=(), batch_size=100),
    ]

    def has_ship_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        return obj is None or obj.number() == 1


class Mixed(ModelTaskAdmin[Order], admin.ModelAdmin[Order]):
    model_task_actions = ("notify",)


class Wrong(ModelTaskAdmin[Order]):
    model_task_actions = [5]  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType]


ModelTaskAction("ship", confrm=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
