from django.db import models

from cereal_methods import model_task


class Order(models.Model):
    status = models.CharField(max_length=20, default="paid")
    carrier = models.CharField(max_length=20, default="")

    @model_task
    def ship(self, carrier):
        self.status, self.carrier = "shipped", carrier
        self.save()
        return f"order {self.pk} went out with {carrier}"

    @model_task
    def notify(self, message=None):
        return f"Dear customer: {message}."
