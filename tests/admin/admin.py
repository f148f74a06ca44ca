"""The admin of the warehouse."""

from __future__ import annotations

from django.contrib import admin

from cereal_methods.admin import ModelTaskAction, ModelTaskAdmin

from .models import Box, Crate, Parcel, Shelf


@admin.register(Box)
class BoxAdmin(ModelTaskAdmin, admin.ModelAdmin):
    list_filter = ["owner"]
    model_task_actions = [
        "weigh",
        ModelTaskAction("ship", description="Ship selected %(verbose_name_plural)s"),
        ModelTaskAction("move", permissions=["move"], confirm="Really move?"),
        ModelTaskAction("burn", permissions=["delete"], confirm=True, batch_size=7),
        ModelTaskAction("forget", permissions=[]),
    ]

    def has_move_permission(self, request):
        return request.user.username == "mover" or request.user.is_superuser

    def get_queryset(self, request):
        queryset = super().get_queryset(request)
        return queryset.filter(owner="") if request.user.username == "narrow" else queryset


@admin.register(Shelf)
class ShelfAdmin(admin.ModelAdmin):
    def get_queryset(self, request):
        return super().get_queryset(request).filter(is_secret=False)


@admin.register(Crate)
class CrateAdmin(ModelTaskAdmin):
    model_task_actions = ["close"]


@admin.register(Parcel)
class ParcelAdmin(ModelTaskAdmin):
    model_task_actions = [ModelTaskAction("seal", fields=[])]
