from django.contrib import admin

from cereal_methods.admin import ModelTaskAction, ModelTaskAdmin

from .models import Customer, Event, Order


class EventInline(admin.TabularInline):
    model = Event
    extra = 0
    can_delete = False
    fields = readonly_fields = ["at", "text", "process"]

    def has_add_permission(self, request, obj):
        return False


@admin.register(Order)
class OrderAdmin(ModelTaskAdmin, admin.ModelAdmin):
    list_display = ["number", "customer", "status", "carrier", "city", "total"]
    list_filter = ["status", "carrier", "city"]
    list_select_related = ["customer"]
    search_fields = ["number"]
    inlines = [EventInline]

    model_task_actions = [
        "ship",
        ModelTaskAction("pack", fields=[], confirm="Pack each order into a separate parcel?"),
        ModelTaskAction("label", description="Print address labels", permissions=["view"]),
    ]


admin.site.register(Customer)
