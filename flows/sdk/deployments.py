"""Deployments as Python makes them: apply them, serve them."""

import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.sdk import portal
from flows.sdk.schedules import Schedule
from flows.sdk.steps import drive

if TYPE_CHECKING:
    from flows.sdk.flows import Flow

DEFAULT = "default"


@dataclass(frozen=True)
class RunnerDeployment:
    """A deployment that `apply` makes. `path` is a folder, or a `git+URL`; `entrypoint` is relative to it.

    `schedules` and `paused` None leave those of an existing deployment as they are.
    """

    flow: "Flow[Any, Any]"
    name: str
    entrypoint: str
    path: str
    schedules: list[Schedule] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    description: str = ""
    version: str = ""
    paused: bool | None = None
    work_pool_name: str = DEFAULT
    work_queue_name: str = DEFAULT

    @property
    def full_name(self) -> str:
        """As `run_deployment` takes it: FLOW/DEPLOYMENT."""
        return f"{self.flow.name}/{self.name}"

    def apply(self, bundle: bool = False) -> UUID:
        """Make the deployment, or change it to this; return its id. `bundle` stores its code, too.

        Raises NoPortalError and PortalApiError.
        """
        server = portal.needed("A deployment")
        body = {**self._body(), "path": self._stored_code(server) if bundle else self.path}
        answer = drive(portal.ask(lambda: server.post("deployments/", body)))
        return UUID(answer["id"])

    def _body(self) -> dict[str, Any]:
        return {
            "flow_name": self.flow.name,
            "name": self.name,
            "entrypoint": self.entrypoint,
            "parameters": dict(self.parameters),
            "parameter_openapi_schema": self.flow.parameters.schema(),
            "schedules": None if self.schedules is None else [each.as_json() for each in self.schedules],
            "tags": self.tags,
            "description": self.description,
            "version": self.version,
            "paused": self.paused,
            "work_pool_name": self.work_pool_name,
            "work_queue_name": self.work_queue_name,
        }

    def _stored_code(self, server: portal.Portal) -> str:
        from flows.sdk.bundles import store

        return store(server, self.path)

    def print_next_steps(self) -> None:
        sys.stdout.write(
            f"Deployed {self.full_name} on queue {self.work_pool_name}/{self.work_queue_name}.\n"
            f'Run it: run_deployment("{self.full_name}")\n'
        )


def serve(
    *deployments: RunnerDeployment, pause_on_shutdown: bool = True, print_starting_message: bool = True
) -> None:
    """Deploy these, each on a queue of its own, and execute their runs on this machine until Ctrl-C.

    The agent is a process beside this one, and needs to find the stack as `manage.py` does. At the end
    the deployments are paused, unless `pause_on_shutdown` is false. Call it in the main thread.
    """
    if not deployments:
        raise ValueError("serve() needs at least one deployment: serve(flow.to_deployment(name)).")
    served = [replace(each, work_queue_name=_own_queue(each), paused=False) for each in deployments]
    for each in served:
        each.apply()
        if print_starting_message:
            sys.stdout.write(f"Serving {each.full_name}. Ctrl-C stops it.\n")
    sys.stdout.flush()
    try:
        _run_agent([f"{each.work_pool_name}/{each.work_queue_name}" for each in served])
    finally:
        if pause_on_shutdown:
            for each in served:
                replace(each, paused=True).apply()


def _own_queue(deployment: RunnerDeployment) -> str:
    """The queue that was asked for; else one that no other agent serves by accident."""
    if deployment.work_queue_name != DEFAULT:
        return deployment.work_queue_name
    return f"served {deployment.flow.name} {deployment.name}"[:100]


def _run_agent(queues: list[str]) -> None:
    """Run an agent until it ends, and pass on what tells us to stop: it finishes its run, and so do we."""
    command = [sys.executable, "-m", "portal", "rqworker", *queues]
    # In a group of its own: a terminal would tell it twice, and the second time ends its run, too.
    agent = subprocess.Popen(command, start_new_session=True)
    stops = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: agent.terminate()) for number in stops}
    try:
        code = agent.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code:
        raise RuntimeError(f"The agent ended with exit code {code}; it says why above.")
