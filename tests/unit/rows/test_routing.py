"""The database for writes to a row, as Django's routers choose it."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models

from cereal_methods.rows.reference import QuerySetReference
from cereal_methods.rows.routing import write_database


def test_a_model_can_read_its_fields_while_instances_are_created(new_models: None) -> None:
    class Curious(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        name = models.CharField(max_length=20)

        class Meta:
            app_label = "shop"

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.before = self.name

        @classmethod
        def from_db(cls, db: Any, field_names: Any, values: Any) -> Any:
            instance = super().from_db(db, field_names, values)
            assert instance.name is not None
            return instance

    queryset: Any = Curious.objects.none()

    assert write_database(Curious, "archive") == "archive"
    assert QuerySetReference.of(queryset).using == "default"
