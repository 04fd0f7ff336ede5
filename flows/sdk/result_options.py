"""The options of flows and tasks that say what becomes of results, checked when they are given."""

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.sdk.base_transaction import TransactionHook
from flows.sdk.cache_policies import CachePolicy, NoCache
from flows.sdk.result_files import checked_storage
from flows.sdk.serializers import serializer_of

if TYPE_CHECKING:
    from flows.sdk.context import FlowRunContext
    from flows.sdk.flows import Flow
    from flows.sdk.tasks import Task


def checked_results(result_storage: Any, result_serializer: Any) -> None:
    """Raise TypeError or ValueError for a storage or serializer that there is not."""
    if result_storage is not None:
        checked_storage(result_storage)
    serializer_of(result_serializer)


def checked_caching(cache_policy: Any, cache_key_fn: Any, cache_expiration: Any) -> None:
    """Raise TypeError, saying how they are written, for what is no policy, function or duration."""
    if cache_policy is not None and not isinstance(cache_policy, CachePolicy):
        raise TypeError(f"cache_policy is one of flows.cache_policies such as INPUTS, not {cache_policy!r}.")
    if cache_key_fn is not None and not callable(cache_key_fn):
        raise TypeError(f"cache_key_fn is a function of context and parameters, not {cache_key_fn!r}.")
    if cache_expiration is not None and not isinstance(cache_expiration, timedelta):
        raise TypeError(f"cache_expiration is a time such as timedelta(hours=1), not {cache_expiration!r}.")


def checked_transaction_hooks(hooks: Iterable[TransactionHook] | None, option: str) -> list[TransactionHook]:
    """The hooks as a list. Raises TypeError for anything else."""
    listed = list(hooks or ())
    for hook in listed:
        if not callable(hook):
            raise TypeError(f"{option} is a list of functions of the transaction; {hook!r} cannot be called.")
    return listed


def is_asked_for(task: "Task[Any, Any]", flow: "FlowRunContext | None") -> bool | None:
    """Whether results of the task are to be kept; None: nobody said anything.

    The task's own word counts first (options that make no sense without keeping results say yes), then
    that of the flow around it, then `PORTAL_RESULTS_PERSIST_BY_DEFAULT` ("true" or "false").
    """
    if task.persist_result is not None:
        return task.persist_result
    if isinstance(task.cache_policy, NoCache):
        return False
    if task.cache_policy or task.cache_key_fn or _names_results(task) or task.result_storage_key:
        return True
    return is_asked_for_by(flow.flow if flow else None)


def is_asked_for_by(flow: "Flow[Any, Any] | None") -> bool | None:
    """Whether a flow, or else the environment, wants results to be kept; None: nobody said anything."""
    if flow is not None and flow.persist_result is not None:
        return flow.persist_result
    if flow is not None and _names_results(flow):
        return True
    return {"true": True, "false": False}.get(os.environ.get("PORTAL_RESULTS_PERSIST_BY_DEFAULT", "").lower())


def is_cached_in_memory(task: "Task[Any, Any]", flow: "FlowRunContext | None") -> bool:
    """Whether the result of a submitted task stays in memory once it is stored."""
    if task.cache_result_in_memory is not None:
        return task.cache_result_in_memory
    return flow is None or flow.flow.cache_result_in_memory is not False


def _names_results(owner: Any) -> bool:
    return owner.result_storage is not None or owner.result_serializer is not None
