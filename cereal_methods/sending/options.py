"""The types of the methods, functions and options that the decorators take.

For a type checker, a misspelt option is an error. The options of a custom task class are accepted
with ``base=``, and are not listed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Concatenate, Literal, ParamSpec, Protocol, TypeAlias, TypeVar

    from django.core.exceptions import ObjectDoesNotExist
    from django.db.models import Prefetch

    M = TypeVar("M")
    M_contra = TypeVar("M_contra", contravariant=True)
    P = ParamSpec("P")
    R = TypeVar("R")
    R_co = TypeVar("R_co", covariant=True)

    # For mypy a method with **kwargs is not a Callable[Concatenate[M, P], R]: a caller could pass
    # the name of the first parameter among them. So there is a protocol for each usual name.

    class _OnSelf(Protocol[M_contra, P, R_co]):
        def __call__(_, self: M_contra, *args: P.args, **kwargs: P.kwargs) -> R_co: ...  # noqa: N805

    class _OnClass(Protocol[M_contra, P, R_co]):
        def __call__(_, cls: M_contra, *args: P.args, **kwargs: P.kwargs) -> R_co: ...  # noqa: N805

    class _BoundOnSelf(Protocol[M_contra, P, R_co]):
        def __call__(_, self: M_contra, task: Any, *args: P.args, **kwargs: P.kwargs) -> R_co: ...  # noqa: N805

    class _BoundOnClass(Protocol[M_contra, P, R_co]):
        def __call__(_, cls: M_contra, task: Any, *args: P.args, **kwargs: P.kwargs) -> R_co: ...  # noqa: N805

    #: A function whose first parameter callers of the bound method leave out.
    Method: TypeAlias = Callable[Concatenate[M, P], R] | _OnSelf[M, P, R] | _OnClass[M, P, R]
    #: A method with ``bind=True``, whose second parameter is the Celery task.
    BoundMethod: TypeAlias = (
        Callable[Concatenate[M, Any, P], R] | _BoundOnSelf[M, P, R] | _BoundOnClass[M, P, R]
    )

    OnMissing: TypeAlias = (
        Literal["raise", "discard", "retry"] | Callable[[ObjectDoesNotExist], Any]
    )


class SharedOptions(TypedDict, total=False):
    """The options of ``shared_task`` that are not attributes of a task class."""

    autoretry_for: Sequence[type[BaseException]]
    compression: str
    delivery_mode: int | str
    dont_autoretry_for: Sequence[type[BaseException]]
    exchange: Any
    immediate: bool
    mandatory: bool
    pydantic: bool
    pydantic_context: Mapping[str, Any]
    pydantic_dump_kwargs: Mapping[str, Any]
    pydantic_strict: bool
    queue: str
    retry_backoff: bool | float
    retry_backoff_max: int
    retry_jitter: bool
    retry_kwargs: Mapping[str, Any]
    routing_key: str


class TaskOptions(SharedOptions, total=False):
    """The options of any task: Celery's, and how rows are fetched."""

    aliases: list[str] | tuple[str, ...]
    atomic: bool
    durable: bool | None
    manager: str
    on_missing: OnMissing
    prefetch_related: str | Iterable[str | Prefetch[Any, Any, Any]]
    select_for_update: bool | Mapping[str, Any]
    select_related: bool | str | Iterable[str]

    name: str
    serializer: str

    abstract: bool
    acks_late: bool
    acks_on_failure: bool
    acks_on_failure_or_timeout: bool
    acks_on_timeout: bool
    backend: Any
    default_retry_delay: float
    expires: float | datetime | None
    ignore_result: bool
    max_retries: int | None
    priority: int | None
    rate_limit: str | float | None
    reject_on_worker_lost: bool
    resultrepr_maxsize: int
    retry_on_worker_lost: bool
    send_events: bool
    soft_time_limit: float | None
    store_eager_result: bool
    store_errors_even_if_ignored: bool
    throws: type[BaseException] | tuple[type[BaseException], ...]
    time_limit: float | None
    track_started: bool
    trail: bool
    typing: bool
    Request: Any
    Strategy: Any

    after_return: Callable[..., Any]
    before_start: Callable[..., Any]
    on_failure: Callable[..., Any]
    on_replace: Callable[..., Any]
    on_retry: Callable[..., Any]
    on_success: Callable[..., Any]
    shadow_name: Callable[..., Any]


class FunctionOptions(TaskOptions, total=False):
    """The options of ``@task``."""

    rows: Mapping[str, Mapping[str, Any]]


class MethodOptions(TaskOptions, total=False):
    """The options of ``@model_task``."""

    on_commit: bool | None
