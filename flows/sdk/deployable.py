"""What a flow can do besides being called: be deployed, be served, come from elsewhere."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast
from uuid import UUID

if TYPE_CHECKING:
    from flows.sdk.deployment_options import ConcurrencyLimitConfig, DeploymentOptions
    from flows.sdk.deployments import RunnerDeployment
    from flows.sdk.flows import Flow
    from flows.sdk.sources import GitRepository


class Deployable:
    """Mixed into Flow."""

    def to_deployment(
        self, name: str, work_pool_name: str | None = None, **options: "Unpack[DeploymentOptions]"
    ) -> "RunnerDeployment":
        """This flow as a deployment that is not made yet: for `serve`, or to `apply` later.

        Its runs wait in `work_pool_name` ("default"). Raises ValueError for a flow that no agent could
        find again, such as one made inside a function.
        """
        from flows.sdk import deployment_options as of
        from flows.sdk.deployments import RunnerDeployment
        from flows.sdk.schedules import wanted

        flow = cast("Flow[Any, Any]", self)
        given: Any = of.checked_options(options)
        due = wanted(**{key: given.pop(key) for key in of.RULES if key in given})
        if work_pool_name:
            given["work_pool_name"] = work_pool_name
        by_module = given.pop("entrypoint_type", None) == of.EntrypointType.MODULE_PATH
        path, entrypoint = _importable(flow) if by_module else _located(flow)
        given["job_variables"] = of.job_variables_of(given.get("job_variables"), given.pop("image", None))
        given["concurrency_limit"] = of.limit_of(given.get("concurrency_limit"))
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
        **options: "Unpack[DeploymentOptions]",
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

    async def ato_deployment(
        self, name: str, work_pool_name: str | None = None, **options: "Unpack[DeploymentOptions]"
    ) -> "RunnerDeployment":
        """As `to_deployment`."""
        return self.to_deployment(name, work_pool_name, **options)

    async def adeploy(self, name: str, work_pool_name: str | None = None, **options: Any) -> UUID:
        """As `deploy`, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(self.deploy, name, work_pool_name, **options)

    def serve(
        self,
        name: str | None = None,
        *,
        pause_on_shutdown: bool = True,
        print_starting_message: bool = True,
        limit: int | None = None,
        global_limit: "int | ConcurrencyLimitConfig | None" = None,
        webserver: bool = False,
        **options: "Unpack[DeploymentOptions]",
    ) -> None:
        """Deploy this flow on a queue of its own and execute its runs here, until Ctrl-C.

        `name` defaults to the flow's. `pause_on_shutdown` pauses the deployment at the end, so that
        its schedules make no runs that nobody executes. `limit` is how many runs are executed here side by
        side, each by an agent of its own (default: 1); `global_limit` how many there may be anywhere.
        """
        from flows.sdk.deployments import serve

        if webserver:
            raise TypeError("serve() takes no webserver: the agent is seen on Portal's own pages.")
        if global_limit is not None:
            options["concurrency_limit"] = global_limit
        deployment = self.to_deployment(name or cast("Flow[Any, Any]", self).name, **options)
        serve(
            deployment,
            pause_on_shutdown=pause_on_shutdown,
            print_starting_message=print_starting_message,
            limit=limit,
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

    @staticmethod
    async def afrom_source(source: "str | Path | GitRepository", entrypoint: str) -> "Flow[..., Any]":
        """As `from_source`, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(Deployable.from_source, source, entrypoint)


def _place_of(source: "str | Path | GitRepository") -> str:
    from flows.sdk.sources import GitRepository

    if isinstance(source, str) and ("://" in source or source.startswith("git@")):
        source = GitRepository(source)
    return str(source) if isinstance(source, GitRepository) else str(Path(source).expanduser().resolve())


def _importable(flow: "Flow[Any, Any]") -> tuple[str, str]:
    """No folder, and the flow by the module that agents import."""
    fn = inspect.unwrap(flow.fn)
    if fn.__module__ == "__main__" or "<locals>" in fn.__qualname__:
        raise ValueError(
            f"Agents could not import {flow.name!r}: it must stand at the top level of a module."
        )
    return "", f"{fn.__module__}:{fn.__qualname__}"


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
