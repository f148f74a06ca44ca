"""Methods that are inherited and overridden."""

from __future__ import annotations

from typing import assert_type

from cereal_methods import model_task

from .shop import Gift, Order


def inherited(order: Order, gift: Gift) -> None:
    assert_type(order.mixed.delay(3).get(), bytes)
    assert_type(order.stamp.delay("seen").get(), str)
    assert_type(Order.stamp.delay(order, "seen").get(), str)
    assert_type(gift.number.delay().get(), int)
    order.mixed.delay("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    gift.stamp.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Order.mixed.delay(order)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def overridden(gift: Gift) -> None:
    assert_type(gift.ship.delay("dhl", card="Happy birthday").get(), str)
    gift.ship.delay("dhl", card=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Wrong(Order):
    @model_task
    def ship(self, carrier: int) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
        return str(carrier)
