"""The API for flow code that runs in a process of ours: the same views, without a server between."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from flows.models import Workspace
from flows.models.workspace import DEFAULT_WORKSPACE
from flows.sdk.portal import Caller, Portal
from portal.client import CommandLine, LocalPortal


class RunningFlow(CommandLine):
    """A flow run. In its workspace it may do everything: its code could write to the database anyway."""

    pk = "flow-run"

    def __init__(self, name: str) -> None:
        self._name = name

    def get_username(self) -> str:
        return f"flow run {self._name}"


class InProcessPortal(LocalPortal):
    """All calls are made in one thread: tasks in many threads share one database connection, and code
    in an event loop may call as well."""

    def __init__(self, workspace_id: UUID, caller: CommandLine | None) -> None:
        super().__init__(workspace_id, caller)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="portal")

    def _call(self, *request: Any) -> Any:
        return self._thread.submit(super()._call, *request).result()


def portal_of(caller: Caller | None) -> Portal:
    """The API as this flow run calls it; without one, as the default workspace's owner does."""
    if caller is None:
        return InProcessPortal(Workspace.objects.get(name=DEFAULT_WORKSPACE).id, None)
    return InProcessPortal(caller.workspace_id, RunningFlow(caller.name))
