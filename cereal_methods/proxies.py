"""What ``order.ship`` is to Python: a method that can be looked at, copied and not patched."""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
from typing import TYPE_CHECKING, Any

from django.db import models
from wrapt import BoundFunctionWrapper, CallableObjectProxy

from . import headers

if TYPE_CHECKING:

    class _Bound:
        """What is used of wrapt's wrapper; its own types let any attribute through."""

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
        # A call goes straight to the method, without a wrapper that is Python: it would
        # take most of the call's time.
        __call__ = CallableObjectProxy.__call__


class Proxy(_Bound):
    """A bound method with attributes of its own: the public ones of the subclasses."""

    def _offers(self) -> set[str]:
        """Return the names that it adds to the method's own."""
        kinds = (kind for kind in type(self).__mro__ if issubclass(kind, Proxy))
        return {name for kind in kinds for name in vars(kind) if not name.startswith("_")}

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._offers()})

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                near = [] if name[:1] == "_" else difflib.get_close_matches(name, dir(self), n=1)
                if not near:
                    raise
            # Without obj, for which a traceback would suggest the same once more.
            raise AttributeError(
                f"{self.__qualname__} has no attribute {name!r}. Did you mean {near[0]!r}?",
                name=name,
            )

    def __setattr__(self, name: str, value: Any) -> None:
        self._refuse_patch(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse_patch(name)
        super().__delattr__(name)

    def _refuse_patch(self, name: str) -> None:
        # A mock in the place of delay would be forgotten at once, and the message sent.
        if name[:1] != "_" and name in Proxy._offers(self):
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

    __str__ = __repr__  # and not the bound method's, which has the instance's own

    def __copy__(self) -> Proxy:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # As Python's own bound methods do; wrapt leaves these decisions to subclasses.
        if self._self_instance is None:
            return self
        return getattr(copy.deepcopy(self._self_instance, memo), self._self_parent._self_attribute)

    def __reduce_ex__(self, protocol: Any) -> Any:
        found = self._self_owner if self._self_instance is None else self._self_instance
        return getattr, (found, self._self_parent._self_attribute)


class ProxyWithTask(Proxy):
    """A bound method that is called with its task, of which its signature says nothing."""

    if not TYPE_CHECKING:
        __call__ = BoundFunctionWrapper.__call__

    @property
    def __signature__(self) -> inspect.Signature:
        is_bound = self._self_instance is not None or not self._self_parent.takes_row()
        return headers.without_task(inspect.signature(self.__wrapped__), 0 if is_bound else 1)

    # Which inspect asks for the signature of a bound method.
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
