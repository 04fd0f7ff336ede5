"""Around the tries of a task run: take its result from where an earlier call left it, or leave it there.

A task that says how it is cached (`cache_policy`, `cache_key_fn`, `result_storage_key`, `persist_result`)
shares its results by that key. Any other task of an agent keeps the result of each call for its own flow run,
so that a run that is retried, resumed or rescheduled goes on where it was: the calls of one try never share.
"""

import logging
import os
from typing import TYPE_CHECKING, Any

from flows.sdk import logs
from flows.sdk.base_transaction import CommitMode, IsolationLevel, current_transaction
from flows.sdk.cache_policies import DEFAULT, NO_CACHE, CacheKeyError, checked_key, hash_of_source
from flows.sdk.context import FlowRunContext, TaskRunContext
from flows.sdk.hashing import hash_objects
from flows.sdk.result_options import is_asked_for, is_cached_in_memory
from flows.sdk.results import ResultStore, current_keeper
from flows.sdk.reuse import is_anew, scope_of
from flows.sdk.states import Completed, Failed, MissingResult, State, StoredValue
from flows.sdk.steps import Steps
from flows.sdk.transactions import Transaction

if TYPE_CHECKING:
    from flows.sdk.task_engine import TaskCall
    from flows.sdk.tasks import Task

_logger = logging.getLogger("flows.results")


def kept(call: "TaskCall", context: TaskRunContext) -> Steps[State]:
    """Run the tries of a call in a transaction of its own, unless its result is there already."""
    try:
        transaction = _transaction(call, context)
    except CacheKeyError as error:
        logs.task_logger(context).error("%s", error)
        return call.run.enter(Failed(message=str(error), data=error))
    yield from transaction.begin()
    record = transaction.read()
    cached = Completed(name="Cached", data=record.result) if record else None
    try:
        state = yield from call.tries(context, cached)
        if state.is_completed():
            transaction.stage(state.data, call.task.on_rollback_hooks, call.task.on_commit_hooks)
            transaction.after_rollback = call.run.roll_back
    except BaseException as error:
        yield from transaction.close(error)
        raise
    yield from transaction.close(None if state.is_completed() else _Failure(state))
    key, store = transaction.key, transaction.store
    if transaction.has_written and key and store and not is_cached_in_memory(call.task, context.flow):
        call.kept = Kept(key, store, context.name)
    return call.run.state


class Kept(StoredValue):
    """The result that a task's transaction wrote, read when somebody asks for it."""

    __slots__ = ("_key", "_name", "_store")

    def __init__(self, key: str, store: ResultStore, name: str) -> None:
        self._key = key
        self._store = store
        self._name = name

    def fetched(self) -> Any:
        record = self._store.read(self._key, _logger)
        if record is None:
            raise MissingResult(f"The result of task run {self._name!r} is not stored any more.")
        return record.result


class _Failure(Exception):
    """A task run that ended without an exception, and did not complete."""


def _transaction(call: "TaskCall", context: TaskRunContext) -> Transaction:
    task, flow = call.task, context.flow
    asked = False if call.streams else is_asked_for(task, flow)
    key, of_run = _key(call, context, asked) if asked is not False else (None, False)
    around = current_transaction.get()
    in_block = around is not None and around.in_block
    has_hooks = bool(task.on_commit_hooks or task.on_rollback_hooks)
    isolation = (task.cache_policy or NO_CACHE).isolation_level
    if isolation is None and asked and not in_block and not (around and around.is_locked_around()):
        # One such lock at a time, let go at the end of the task: no two calls can wait for each other.
        isolation = IsolationLevel.SERIALIZABLE
    return Transaction(
        key,
        _store(task, flow, of_run) if key is not None else None,
        None if in_block or has_hooks else CommitMode.EAGER,
        isolation,
        overwrite=refreshes(task) or is_anew(call.run),
        logger=logs.task_logger(context),
        of_task=True,
    )


def _key(call: "TaskCall", context: TaskRunContext, asked: bool | None) -> tuple[str | None, bool]:
    """The key of the call's result, and whether it means something to this flow run alone."""
    if not asked and not (context.flow and current_keeper().durable):
        return None, False
    try:
        if not asked and context.flow:
            return _replay_key(call, context.flow), True
        return _asked_key(context, _arguments(call)), False
    except CacheKeyError:
        raise
    except Exception as error:
        if asked:
            logs.task_logger(context).error(
                "No cache key could be computed, so the result is not kept: %s", error
            )
        return None, False


def _asked_key(context: TaskRunContext, inputs: dict[str, Any]) -> str | None:
    task, flow = context.task, context.flow
    if task.cache_key_fn:
        return checked_key(task.cache_key_fn(context, inputs), context)
    if task.result_storage_key:
        return _formatted(task.result_storage_key, inputs)
    policy = task.cache_policy or DEFAULT
    return checked_key(policy.compute_key(context, inputs, dict(flow.parameters) if flow else {}), context)


def _arguments(call: "TaskCall") -> dict[str, Any]:
    """By name; those of a method begin with what it is bound to."""
    arguments = call.task.arguments(call.args, call.kwargs)
    owner = getattr(call.task.fn, "__self__", None)
    return arguments if owner is None else {"self": owner, **arguments}


def _formatted(template: str, inputs: dict[str, Any]) -> str:
    from flows import runtime

    try:
        return template.format(
            flow_run=runtime.flow_run,
            task_run=runtime.task_run,
            deployment=runtime.deployment,
            parameters=inputs,
        )
    except (LookupError, AttributeError, ValueError) as error:
        raise CacheKeyError(f"result_storage_key={template!r} cannot be filled in: {error!r}") from error


def _replay_key(call: "TaskCall", flow: FlowRunContext) -> str:
    """Task, code, inputs, and how often this try made the same call before."""
    task = call.task
    same = hash_objects(task.task_key, hash_of_source(task.fn), list(call.inputs()), dict(call.kwargs))
    return f"{scope_of(flow)}/{same}/{flow.next_call(same)}"


def _store(task: "Task[Any, Any]", flow: FlowRunContext | None, of_run: bool) -> ResultStore:
    """The task's own options go before those of the flow around it."""
    policy = task.cache_policy or NO_CACHE
    storage, serializer = policy.key_storage or task.result_storage, task.result_serializer
    if flow is not None:
        storage, serializer = storage or flow.flow.result_storage, serializer or flow.flow.result_serializer
    return ResultStore(
        storage, serializer, policy.lock_manager, lifetime=task.cache_expiration, of_run=of_run
    )


def refreshes(task: "Task[Any, Any]") -> bool:
    """Whether the task is computed anew although its result may be there."""
    if task.refresh_cache is not None:
        return task.refresh_cache
    return os.environ.get("PORTAL_TASKS_REFRESH_CACHE", "").lower() in {"1", "true"}
