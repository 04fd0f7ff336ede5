"""Where submitted tasks run."""

from flows.sdk.cluster_runners import DaskTaskRunner, RayTaskRunner
from flows.sdk.process_pool import ProcessPoolTaskRunner
from flows.sdk.runners import ThreadPoolTaskRunner

__all__ = ["DaskTaskRunner", "ProcessPoolTaskRunner", "RayTaskRunner", "ThreadPoolTaskRunner"]
