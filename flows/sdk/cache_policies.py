"""Cache policies: what must be equal for two calls of a task to share one result.

Policies are added (`INPUTS + TASK_SOURCE`); arguments that do not matter are subtracted (`INPUTS - "debug"`).
"""

import inspect
import marshal
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from types import CodeType
from typing import TYPE_CHECKING, Any

from flows.sdk.hashing import HashError, hash_objects
from flows.sdk.locking import LockManager
from flows.sdk.result_files import ResultStorage
from flows.sdk.reuse import scope_of

if TYPE_CHECKING:
    from flows.sdk.base_transaction import IsolationLevel
    from flows.sdk.context import TaskRunContext

Arguments = dict[str, Any]  # by name
CacheKeyFn = Callable[["TaskRunContext", dict[str, Any]], str | None]


class CacheKeyError(TypeError):
    """A cache key is not a string."""


@dataclass(kw_only=True)
class CachePolicy:
    """Base of all policies; one of your own overrides `compute_key`. Nobody changes a policy that is in use.

    key_storage: folder, URL or block where the results are kept and looked up, instead of the task's storage.
    isolation_level: "SERIALIZABLE" computes a key once at a time, whatever surrounds the call;
        "READ_COMMITTED" never waits. None: a task outside transactions waits, one within does as they do.
    lock_manager: who keeps others waiting; None: the store of the results.
    """

    key_storage: ResultStorage | None = None
    isolation_level: "IsolationLevel | str | None" = None
    lock_manager: LockManager | None = None

    @staticmethod
    def from_cache_key_fn(cache_key_fn: CacheKeyFn) -> "CacheKeyFnPolicy":
        """A policy from a function of the task run's context and its arguments."""
        return CacheKeyFnPolicy(cache_key_fn=cache_key_fn)

    def configure(
        self,
        key_storage: ResultStorage | None = None,
        lock_manager: LockManager | None = None,
        isolation_level: "IsolationLevel | str | None" = None,
    ) -> "CachePolicy":
        """A copy with other settings; what is None stays as it is."""
        configured = copy(self)
        if key_storage is not None:
            configured.key_storage = key_storage
        if lock_manager is not None:
            configured.lock_manager = lock_manager
        if isolation_level is not None:
            configured.isolation_level = isolation_level
        return configured

    def compute_key(
        self,
        task_ctx: "TaskRunContext",
        inputs: Arguments,
        flow_parameters: Arguments,
        **kwargs: Any,
    ) -> str | None:
        """The key of a call, given its arguments by name; None: this policy has nothing to say."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a cache key is made.")

    def __add__(self, other: "CachePolicy") -> "CachePolicy":
        """Both must be equal. Raises ValueError if the two are configured differently."""
        if not isinstance(other, CachePolicy):
            return NotImplemented
        if isinstance(other, NoCache):
            return self
        return CompoundCachePolicy(
            policies=(*_parts(self), *_parts(other)),
            key_storage=_common("storage locations", self.key_storage, other.key_storage),
            isolation_level=_common("isolation levels", self.isolation_level, other.isolation_level),
            lock_manager=_common("lock implementations", self.lock_manager, other.lock_manager),
        )

    def __sub__(self, argument: str) -> "CachePolicy":
        """The argument of this name does not matter."""
        if not isinstance(argument, str):
            raise TypeError(f"Subtract the name of an argument from a cache policy, not {argument!r}.")
        return self._without(argument)

    def _without(self, argument: str) -> "CachePolicy":
        return self


@dataclass(kw_only=True)
class CacheKeyFnPolicy(CachePolicy):
    """What a function of the user's says."""

    cache_key_fn: CacheKeyFn

    def compute_key(
        self,
        task_ctx: "TaskRunContext",
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        return self.cache_key_fn(task_ctx, inputs)


@dataclass(kw_only=True)
class CompoundCachePolicy(CachePolicy):
    """All of several policies."""

    policies: tuple[CachePolicy, ...] = ()

    def compute_key(
        self,
        task_ctx: "TaskRunContext",
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        keys = [
            checked_key(p.compute_key(task_ctx, inputs, flow_parameters), task_ctx) for p in self.policies
        ]
        given = [key for key in keys if key is not None]
        return hash_objects(*given) if given else None

    def _without(self, argument: str) -> CachePolicy:
        return replace(self, policies=tuple(policy - argument for policy in self.policies))


class NoCache(CachePolicy):
    """Nothing is kept and nothing is looked up."""

    def compute_key(
        self,
        task_ctx: "TaskRunContext",
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        return None

    def __add__(self, other: CachePolicy) -> CachePolicy:
        return other


class TaskSource(CachePolicy):
    """The task's own lines of code."""

    def compute_key(
        self,
        task_ctx: "TaskRunContext",
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str:
        return hash_of_source(task_ctx.task.fn)


class FlowParameters(CachePolicy):
    """The parameters of the surrounding flow run."""

    def compute_key(
        self,
        task_ctx: "TaskRunContext",
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        return hash_objects(flow_parameters) if flow_parameters else None


class RunId(CachePolicy):
    """The surrounding flow run, in all of its attempts; the task run itself outside flows.

    A subflow is known by its place, since each attempt of its root run makes it anew; and a run that was
    asked to reuse the results of another one goes on with those.
    """

    def compute_key(
        self,
        task_ctx: "TaskRunContext",
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str:
        return scope_of(task_ctx.flow) if task_ctx.flow else str(task_ctx.id)


@dataclass(kw_only=True)
class Inputs(CachePolicy):
    """The arguments of the call, but for those named in `exclude`."""

    exclude: tuple[str, ...] = ()

    def compute_key(
        self,
        task_ctx: "TaskRunContext",
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        if not inputs:
            return None
        try:
            return hash_objects({name: value for name, value in inputs.items() if name not in self.exclude})
        except HashError as error:
            raise HashError(
                f'{error}. Leave such arguments out (INPUTS - "name"), or set cache_policy=NO_CACHE.'
            ) from error

    def _without(self, argument: str) -> CachePolicy:
        return replace(self, exclude=(*self.exclude, argument))


def checked_key(key: Any, task_ctx: "TaskRunContext") -> str | None:
    """`key`. Raises CacheKeyError if it is neither a string nor None."""
    if key is None or isinstance(key, str):
        return key
    raise CacheKeyError(
        f"The cache key of task {task_ctx.task.name!r} must be a string, or None for no caching; "
        f"it is {key!r}, of type {type(key).__name__}."
    )


def task_input_hash(context: "TaskRunContext", arguments: Mapping[str, Any]) -> str | None:
    """For `cache_key_fn`: the task, its code and its arguments; None if those cannot be hashed."""
    try:
        return hash_objects(context.task.task_key, hash_of_source(context.task.fn), dict(arguments))
    except HashError:
        return None


def _parts(policy: CachePolicy) -> tuple[CachePolicy, ...]:
    return policy.policies if isinstance(policy, CompoundCachePolicy) else (policy,)


def _common(what: str, one: Any, other: Any) -> Any:
    if one is not None and other is not None and one != other:
        raise ValueError(f"Cannot add cache policies with different {what}: {one!r} and {other!r}.")
    return other if one is None else one


def hash_of_source(fn: Callable[..., Any]) -> str:
    """A hash of the function's lines; of what it was compiled to, if there are none to be found."""
    return _hash_of_source(getattr(fn, "__func__", fn))


@lru_cache(maxsize=1024)
def _hash_of_source(fn: Callable[..., Any]) -> str:
    try:
        return hash_objects(inspect.getsource(fn))
    except (OSError, TypeError):  # typed in at a prompt, or not a plain function
        code: CodeType | None = getattr(fn, "__code__", None)
        return hash_objects(marshal.dumps(_without_places(code)).hex() if code else repr(type(fn)))


def _without_places(code: CodeType) -> CodeType:
    """The code as if it had been compiled elsewhere."""
    constants = (_without_places(c) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=tuple(constants))


INPUTS = Inputs()
NO_CACHE = NoCache()
NONE = NO_CACHE
TASK_SOURCE = TaskSource()
FLOW_PARAMETERS = FlowParameters()
RUN_ID = RunId()
DEFAULT = INPUTS + TASK_SOURCE + RUN_ID
