"""Deployments as Python makes them: apply them, serve them."""

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.sdk import portal
from flows.sdk.deployment_options import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, job_variables_of
from flows.sdk.schedules import Schedule
from flows.sdk.served import run_agents
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
    job_variables: dict[str, Any] = field(default_factory=dict)
    enforce_parameter_schema: bool = True
    concurrency_limit: ConcurrencyLimitConfig | None = None

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
            "job_variables": self.job_variables,
            "enforce_parameter_schema": self.enforce_parameter_schema,
            **self._limit(),
        }

    def _limit(self) -> dict[str, Any]:
        limit = self.concurrency_limit
        strategy = ConcurrencyLimitStrategy(limit.collision_strategy).value if limit else None
        return {"concurrency_limit": limit.limit if limit else None, "collision_strategy": strategy}

    def _stored_code(self, server: portal.Portal) -> str:
        from flows.sdk.bundles import store

        return store(server, self.path)

    def print_next_steps(self) -> None:
        sys.stdout.write(
            f"Deployed {self.full_name} on queue {self.work_pool_name}/{self.work_queue_name}.\n"
            f'Run it: run_deployment("{self.full_name}")\n'
        )


def deploy(
    *deployments: RunnerDeployment,
    work_pool_name: str | None = None,
    bundle: bool = False,
    print_next_steps_message: bool = True,
    **without_effect: Any,
) -> list[UUID]:
    """Make these deployments, in `work_pool_name` if it is given; return their ids. Raises as `apply`.

    Of Prefect's other options `image` is kept as a job variable; `build` and `push` have no effect.
    """
    made = []
    for each in deployments:
        extra = job_variables_of(each.job_variables, without_effect.get("image"))
        deployment = replace(each, work_pool_name=work_pool_name or each.work_pool_name, job_variables=extra)
        made.append(deployment.apply(bundle=bundle))
        if print_next_steps_message:
            deployment.print_next_steps()
    return made


def serve(
    *deployments: RunnerDeployment,
    pause_on_shutdown: bool = True,
    print_starting_message: bool = True,
    limit: int | None = None,
) -> None:
    """Deploy these, each on a queue of its own, and execute their runs on this machine until Ctrl-C.

    `limit` is how many runs are executed side by side: so many agents, each a process beside this one, which
    needs to find the stack as `manage.py` does; default: 1. At the end the deployments are paused, unless
    `pause_on_shutdown` is false. Call it in the main thread.
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
        run_agents([f"{each.work_pool_name}/{each.work_queue_name}" for each in served], limit or 1)
    finally:
        if pause_on_shutdown:
            for each in served:
                replace(each, paused=True).apply()


async def aserve(*deployments: RunnerDeployment, **options: Any) -> None:
    """As `serve`, from a coroutine, whose event loop stands still meanwhile: signals need the main thread."""
    serve(*deployments, **options)


def _own_queue(deployment: RunnerDeployment) -> str:
    """The queue that was asked for; else one that no other agent serves by accident."""
    if deployment.work_queue_name != DEFAULT:
        return deployment.work_queue_name
    return f"served {deployment.flow.name} {deployment.name}"[:100]
