"""What a bound method is to Python: it can be inspected and copied, but not patched."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db import models
from wrapt import BoundFunctionWrapper, CallableObjectProxy

from ..suggestions import did_you_mean
from . import headers

if TYPE_CHECKING:
    from typing import Self

    class _Bound:
        """The part of wrapt's wrapper that is used; its own types allow any attribute."""

        __name__: str
        __qualname__: str
        __wrapped__: Any
        __func__: Any
        __self__: Any
        _self_instance: Any
        _self_owner: Any
        _self_parent: Any

else:

    class _Bound(BoundFunctionWrapper, CallableObjectProxy):
        # A call goes straight to the method. A wrapper in Python would take most of its time.
        __call__ = CallableObjectProxy.__call__


def public_names(names: Iterable[str]) -> frozenset[str]:
    """Return the names that are public."""
    return frozenset(name for name in names if not name.startswith("_"))


class Proxy(_Bound):
    """A bound method with further attributes: the public ones of the subclasses."""

    @property
    def _takes_rows(self) -> bool:
        """Whether it is the method on the class, which takes the row or rows first."""
        return self._self_instance is None and bool(self._self_parent.takes_row())

    def _offers(self) -> frozenset[str]:
        """Return the public names that it has beside the method's."""
        kinds = (kind for kind in type(self).__mro__ if issubclass(kind, Proxy))
        return public_names(name for kind in kinds for name in vars(kind))

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._offers()})

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                hint = "" if name.startswith("_") else did_you_mean(name, dir(self))
                if not hint:
                    raise
            # Without obj=, because a traceback would then repeat the suggestion.
            raise AttributeError(
                f"{self.__qualname__} has no attribute {name!r}. {hint}", name=name
            )

    def __setattr__(self, name: str, value: Any) -> None:
        self._refuse_patch(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse_patch(name)
        super().__delattr__(name)

    def _refuse_patch(self, name: str) -> None:
        # The next lookup would make another proxy, without the mock, and send the message.
        if not name.startswith("_") and name in Proxy._offers(self):
            raise AttributeError(
                f"{self.__qualname__}.{name} cannot be set or patched: {self.__qualname__} is made "
                f"anew whenever it is looked up. Patch {self.__qualname__} itself, or apply_async "
                f"of {self.__qualname__}.task."
            )

    def __repr__(self) -> str:
        instance = self._self_instance
        of = ""
        if isinstance(instance, models.Model):
            of = f" of <{instance._meta.label} {instance.pk}>"
        return f"<model task {self.__qualname__}{of}>"

    # The text of a bound method contains that of its instance, and a model's may run a query.
    __str__ = __repr__

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # As for Python's bound methods; wrapt leaves copies to subclasses.
        if self._self_instance is None:
            return self
        return getattr(copy.deepcopy(self._self_instance, memo), self._self_parent._self_attribute)

    def __reduce_ex__(self, protocol: Any) -> Any:
        owner = self._self_owner if self._self_instance is None else self._self_instance
        return getattr, (owner, self._self_parent._self_attribute)


class ProxyWithTask(Proxy):
    """A bound method with ``bind=True``: callers leave out the task, and so does its signature."""

    if not TYPE_CHECKING:
        __call__ = BoundFunctionWrapper.__call__

    @property
    def __signature__(self) -> inspect.Signature:
        is_bound = self._self_instance is not None or not self._self_parent.takes_row()
        return headers.without_task(inspect.signature(self.__wrapped__), 0 if is_bound else 1)

    # inspect reads the signature of a bound method from its function.
    @property
    def __func__(self) -> Any:
        bound: Any = self
        function = self.__wrapped__.__func__

        @functools.wraps(function)
        def without_task(owner: Any, *args: Any, **kwargs: Any) -> Any:
            return function(owner, bound.task, *args, **kwargs)

        signature = headers.without_task(inspect.signature(function), 1)
        without_task.__signature__ = signature  # type: ignore[attr-defined]
        return without_task
