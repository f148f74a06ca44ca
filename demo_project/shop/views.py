from django.db import transaction
from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from .models import Order


@require_POST
@transaction.atomic
def ship(request, number):
    """Ship an order. The task is sent when this transaction commits."""
    order = get_object_or_404(Order.objects.select_for_update(), number=number)
    result = order.ship.delay_on_commit(request.POST.get("carrier", "dhl"))
    return JsonResponse({"order": order.number, "task": result.id}, status=202)
