"""What a flow can do besides being called: be deployed, be served, come from elsewhere."""

import inspect
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast
from uuid import UUID

if TYPE_CHECKING:
    from flows.sdk.deployments import RunnerDeployment
    from flows.sdk.flows import Flow
    from flows.sdk.schedules import Schedule
    from flows.sdk.sources import GitRepository


class DeploymentOptions(TypedDict, total=False):
    """What a deployment may be given besides its name and its work pool.

    interval: seconds or a timedelta between runs; cron: such as "0 6 * * *", read in `timezone` (UTC);
    each may be a list. schedule, schedules: made with `Cron` or `Interval`. Without any of these, the
    schedules that the deployment has stay.
    parameters: defaults of its runs. tags: of its runs, beside the flow's own.
    description, version: default: the flow's. paused: whether schedules and agents leave it alone.
    work_queue_name: where its runs wait for agents, in the work pool; default: "default".
    """

    interval: float | timedelta | list[float | timedelta] | None
    cron: str | list[str] | None
    timezone: str | None
    schedule: "Schedule | None"
    schedules: "list[Schedule] | None"
    parameters: Mapping[str, Any] | None
    tags: Sequence[str] | None
    description: str | None
    version: str | None
    paused: bool | None
    work_queue_name: str | None


_RULES = ("interval", "cron", "timezone", "schedule", "schedules")


class Deployable:
    """Mixed into Flow."""

    def to_deployment(
        self, name: str, work_pool_name: str | None = None, **options: Unpack[DeploymentOptions]
    ) -> "RunnerDeployment":
        """This flow as a deployment that is not made yet: for `serve`, or to `apply` later.

        Its runs wait in `work_pool_name` ("default"). Raises ValueError for a flow that no agent could
        find again, such as one made inside a function.
        """
        from flows.sdk.deployments import RunnerDeployment
        from flows.sdk.schedules import wanted

        if unknown := options.keys() - DeploymentOptions.__annotations__.keys():
            raise TypeError(f"A deployment has no option {', '.join(sorted(unknown))}.")
        flow = cast("Flow[Any, Any]", self)
        given: Any = {key: value for key, value in options.items() if value is not None}
        due = wanted(**{key: given.pop(key) for key in _RULES if key in given})
        if work_pool_name:
            given["work_pool_name"] = work_pool_name
        path, entrypoint = _located(flow)
        tags = [*flow.tags, *given.pop("tags", ())]
        described = {"description": flow.description, "version": flow.version or "", **given}
        return RunnerDeployment(flow, name, entrypoint, path, due, tags=tags, **described)

    def deploy(
        self,
        name: str,
        work_pool_name: str | None = None,
        *,
        bundle: bool = False,
        print_next_steps: bool = True,
        **options: Unpack[DeploymentOptions],
    ) -> UUID:
        """Make the deployment `name` of this flow, or change it to what is given; return its id.

        Agents load the code from the folder (or git repository) where it lies now. `bundle=True` stores
        the folder in Portal instead, so that any agent runs exactly this version.
        Raises NoPortalError, and PortalApiError when the options do not fit.
        """
        deployment = self.to_deployment(name, work_pool_name, **options)
        made = deployment.apply(bundle=bundle)
        if print_next_steps:
            deployment.print_next_steps()
        return made

    def serve(
        self,
        name: str | None = None,
        *,
        pause_on_shutdown: bool = True,
        print_starting_message: bool = True,
        **options: Unpack[DeploymentOptions],
    ) -> None:
        """Deploy this flow on a queue of its own and execute its runs here, until Ctrl-C.

        `name` defaults to the flow's. `pause_on_shutdown` pauses the deployment at the end, so that
        its schedules make no runs that nobody executes.
        """
        from flows.sdk.deployments import serve

        deployment = self.to_deployment(name or cast("Flow[Any, Any]", self).name, **options)
        serve(
            deployment,
            pause_on_shutdown=pause_on_shutdown,
            print_starting_message=print_starting_message,
        )

    @staticmethod
    def from_source(source: "str | Path | GitRepository", entrypoint: str) -> "Flow[..., Any]":
        """The flow at `entrypoint` (`file.py:function`) in a folder or a git repository.

        `source` is a folder, a `GitRepository`, or the address of one. A deployment of this flow has
        agents load it from the same place. Raises SourceError, and EntrypointError if it is not there.
        """
        from flows.sdk.entrypoints import load_flow

        place = _place_of(source)
        flow = load_flow(entrypoint, place)
        flow.source = (place, entrypoint)
        return flow


def _place_of(source: "str | Path | GitRepository") -> str:
    from flows.sdk.sources import GitRepository

    if isinstance(source, str) and ("://" in source or source.startswith("git@")):
        source = GitRepository(source)
    return str(source) if isinstance(source, GitRepository) else str(Path(source).expanduser().resolve())


def _located(flow: "Flow[Any, Any]") -> tuple[str, str]:
    """The folder and, relative to it, the entrypoint of a flow."""
    if flow.source:
        return flow.source
    fn = inspect.unwrap(flow.fn)
    file = inspect.getsourcefile(fn)
    if "<locals>" in fn.__qualname__ or file is None or not Path(file).is_file():
        raise ValueError(f"Agents could not load {flow.name!r}: it must stand at the top level of a file.")
    path, here = Path(file).resolve(), Path.cwd()
    folder = here if path.is_relative_to(here) else path.parent
    return str(folder), f"{path.relative_to(folder)}:{fn.__qualname__}"
