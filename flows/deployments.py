"""Deployments: make them, run them, serve them."""

from flows.sdk.deployments import RunnerDeployment, deploy, serve
from flows.sdk.run_deployment import FlowRun, arun_deployment, run_deployment
from flows.sdk.sources import GitRepository, SourceError

__all__ = [
    "FlowRun",
    "GitRepository",
    "RunnerDeployment",
    "SourceError",
    "arun_deployment",
    "deploy",
    "run_deployment",
    "serve",
]
