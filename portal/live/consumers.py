"""The pages' WebSockets: hints that a run has changed, for those who may see it.

A socket carries no data: the page reads what changed over HTTP, with its own permissions. Close codes:
4401 nobody is logged in, 4403 this user may not see that, 4408 the page does not keep up, 4429 too many are
open. Whoever logs out, is deactivated or leaves a workspace is sent away from what is open then.
"""

import asyncio
from contextlib import suppress
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db import DatabaseError

from flows.models import Workspace
from flows.scoping import Actor
from portal.access.actors import actor_of_user
from portal.live.access import access_group, user_now
from portal.live.publisher import run_group, workspace_group
from portal.live.seats import TOO_MANY, why_not
from runs.models import FlowRun

NOT_LOGGED_IN = 4401
FORBIDDEN = 4403
LAGGING = 4408

SECONDS_BETWEEN_HINTS = 0.1
HINTS_AT_ONCE = 50
SECONDS_TO_TAKE_A_HINT = 10
SECONDS_BETWEEN_CHECKS = 60  # of who may listen; a hint makes it sooner
SHOWN = ("run_id", "version", "state_type", "state_name")


class HintConsumer(AsyncJsonWebsocketConsumer):
    """Joins groups once the permission is checked, and passes on the newest hint of each run.

    Hints of one run leave at most ten times a second: those in between are replaced by the newest.
    """

    async def connect(self) -> None:
        self.joined: set[str] = set()
        self.watched = ""
        self.checking = asyncio.Lock()
        self.checker: asyncio.Task[None] | None = None
        self.waiting: dict[str, dict[str, Any]] = {}
        self.sender: asyncio.Task[None] | None = None
        # Only an accepted socket can tell its page why it is closed.
        await self.accept()
        if self.scope["user"].is_authenticated:
            if not self.scope["seat"].take(("user", self.scope["user"].pk)):
                await self.close(TOO_MANY, why_not())
                return
            # Before the check: a change in between must not go unheard.
            self.watched = access_group(self.scope["user"].pk)
            await self.channel_layer.group_add(self.watched, self.channel_name)
        await self.check_access()
        self.checker = asyncio.create_task(self._check_now_and_then())

    async def check_access(self) -> None:
        """Join what the user may see now, and leave the rest; close if that is nothing."""
        async with self.checking:
            user = await user_now(self.scope["session"])
            if not (user.is_authenticated and user.is_active and getattr(user, "is_staff", False)):
                await self.close(NOT_LOGGED_IN)
                return
            groups = set(await self.groups_for(actor_of_user(user)))
            if not groups:
                await self.close(FORBIDDEN)
            elif groups != self.joined:
                await self._move_to(groups)

    async def _move_to(self, groups: set[str]) -> None:
        for group in self.joined - groups:
            await self.channel_layer.group_discard(group, self.channel_name)
        for group in groups - self.joined:
            await self.channel_layer.group_add(group, self.channel_name)
        self.joined = groups
        self.waiting.clear()
        # From here on nothing is missed: the page reads the present state on this message.
        await self.send_json({"joined": len(groups)})

    async def access_changed(self, message: dict[str, Any]) -> None:
        """A hint from `portal.live.access`."""
        await self.check_access()

    async def _check_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_CHECKS)
            with suppress(DatabaseError):  # away: there is nothing to hear meanwhile
                await self.check_access()

    async def groups_for(self, actor: Actor) -> list[str]:
        """The groups that `actor` may join here; none closes the socket."""
        raise NotImplementedError

    async def disconnect(self, code: int) -> None:
        for task in (self.sender, self.checker):
            if task:
                task.cancel()
        for group in filter(None, [*self.joined, self.watched]):
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, *args: Any, **kwargs: Any) -> None:
        """Pages have nothing to say; whatever comes is left unread, so that it cannot be an error."""

    async def run_changed(self, message: dict[str, Any]) -> None:
        """A hint from `portal.live.publisher`."""
        self.waiting[message["run_id"]] = {name: message[name] for name in SHOWN}
        if self.sender is None or self.sender.done():
            self.sender = asyncio.create_task(self._send_waiting())

    async def _send_waiting(self) -> None:
        try:
            while self.waiting:
                for run_id in list(self.waiting)[:HINTS_AT_ONCE]:
                    async with asyncio.timeout(SECONDS_TO_TAKE_A_HINT):
                        await self.send_json(self.waiting.pop(run_id))
                await asyncio.sleep(SECONDS_BETWEEN_HINTS)
        except TimeoutError:
            await self.close(LAGGING)


class RunConsumer(HintConsumer):
    """`/ws/runs/<id>`: one run. A subflow's changes are announced by its root's process."""

    async def groups_for(self, actor: Actor) -> list[str]:
        run_id = self.scope["url_route"]["kwargs"]["run_id"]
        found = await database_sync_to_async(self._run_and_root)(actor, run_id)
        return [run_group(id) for id in found if id]

    @staticmethod
    def _run_and_root(actor: Actor, run_id: Any) -> tuple[Any, ...]:
        rows = FlowRun.objects.for_actor(actor).filter(id=run_id).values_list("id", "root_run_id")
        return rows.first() or ()


class RunsConsumer(HintConsumer):
    """`/ws/runs`: every run of the workspaces that the user may see."""

    async def groups_for(self, actor: Actor) -> list[str]:
        ids: list[Any] = await database_sync_to_async(self._workspaces)(actor)
        return [workspace_group(id) for id in ids]

    @staticmethod
    def _workspaces(actor: Actor) -> list[Any]:
        return list(Workspace.objects.for_actor(actor).values_list("id", flat=True))
