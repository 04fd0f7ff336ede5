"""Where submitted tasks run."""

from flows.sdk.agents_runner import AgentsTaskRunner
from flows.sdk.cluster_runners import DaskTaskRunner, RayTaskRunner
from flows.sdk.process_pool import ProcessPoolTaskRunner
from flows.sdk.runners import ThreadPoolTaskRunner

# The name that it had in Prefect 2.
ConcurrentTaskRunner = ThreadPoolTaskRunner

__all__ = [
    "AgentsTaskRunner",
    "ConcurrentTaskRunner",
    "DaskTaskRunner",
    "ProcessPoolTaskRunner",
    "RayTaskRunner",
    "ThreadPoolTaskRunner",
]
