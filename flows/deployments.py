"""Deployments: make them, run them, serve them, backfill them."""

from flows.sdk.backfills import Backfill, abackfill, backfill
from flows.sdk.deployments import RunnerDeployment, deploy, serve
from flows.sdk.run_deployment import FlowRun, arun_deployment, run_deployment
from flows.sdk.sources import GitRepository, SourceError

__all__ = [
    "Backfill",
    "FlowRun",
    "GitRepository",
    "RunnerDeployment",
    "SourceError",
    "abackfill",
    "arun_deployment",
    "backfill",
    "deploy",
    "run_deployment",
    "serve",
]
