"""The pages' sockets, with the real publisher over a real Valkey: who may listen, and what they hear."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.test import Client

from flows.models import Membership, Workspace
from portal.asgi import application
from portal.live.consumers import FORBIDDEN, NOT_LOGGED_IN
from portal.live.publisher import publish
from portal.live.routing import websocket_urlpatterns
from portal.live.seats import TOO_MANY, _taken
from runs.announce import RunChanged
from runs.models import FlowRun
from tests.factories import make_deployment, make_queue, make_run
from tests.processes import PATIENCE, RunningStack

OURS = "http://localhost"


def scope_of(path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """What a server says of a socket."""
    scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers}
    return {**scope, "subprotocols": []}


def headers_of(cookie: str, origin: str | None = OURS) -> list[tuple[bytes, bytes]]:
    """What a browser sends."""
    headers = [(b"host", b"localhost"), (b"cookie", cookie.encode())]
    return headers if origin is None else [*headers, (b"origin", origin.encode())]


class Socket:
    """A page's end of a socket of our application."""

    def __init__(self, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        self.instance = ApplicationCommunicator(application, scope_of(path, headers))

    async def connect(self) -> bool:
        """Whether the socket was accepted."""
        await self.instance.send_input({"type": "websocket.connect"})
        answer = await self.instance.receive_output(PATIENCE)
        return bool(answer["type"] == "websocket.accept")

    async def close_code(self) -> int:
        """Why an accepted socket is closed at once."""
        assert await self.connect()
        return await self.closed()

    async def closed(self) -> int:
        """Why an open socket is closed now."""
        message = await self.instance.receive_output(PATIENCE)
        assert message["type"] == "websocket.close"
        return int(message["code"])

    async def hint(self) -> dict[str, Any]:
        """The next message."""
        message: dict[str, Any] = json.loads((await self.instance.receive_output(PATIENCE))["text"])
        return message

    async def leave(self) -> None:
        await self.instance.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.instance.wait(PATIENCE)


@pytest.fixture(autouse=True)
def committed(stack: RunningStack) -> Iterator[None]:
    """Sockets look things up in other threads, which see no open transaction."""
    yield


@pytest.fixture
def run() -> FlowRun:
    return make_run()


@pytest.fixture
def foreign_run() -> FlowRun:
    elsewhere = Workspace.objects.create(name="elsewhere")
    return make_run(make_deployment(queue=make_queue(workspace=elsewhere)))


def member(name: str = "ada", **fields: Any) -> AbstractUser:
    """A viewer of the default workspace who may use the pages."""
    user = get_user_model().objects.create_user(name, password="secret", **({"is_staff": True} | fields))
    Membership.objects.create(user=user, workspace=Workspace.objects.get(name="default"), role="viewer")
    return user


def cookie_of(user: AbstractUser | None) -> str:
    client = Client()
    if user is not None:
        client.force_login(user)
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


@asynccontextmanager
async def socket(path: str, cookie: str, origin: str | None = OURS) -> AsyncIterator[Socket]:
    opened = Socket(path, headers_of(cookie, origin))
    yield opened
    await opened.leave()


def hint(run: FlowRun, version: int = 2) -> RunChanged:
    return RunChanged(run.id, run.workspace_id, version, "RUNNING", "Running")


async def tell(*hints: RunChanged) -> None:
    await sync_to_async(lambda: [publish(each) for each in hints])()


@pytest.fixture
def paths(run: FlowRun) -> list[str]:
    """Every socket there is."""
    routes = [str(route.pattern) for route in websocket_urlpatterns]
    return ["/" + route.replace("<uuid:run_id>", str(run.id)) for route in routes]


async def test_a_stranger_is_sent_away(paths: list[str]) -> None:
    for path in paths:
        async with socket(path, cookie="") as opened:
            assert await opened.close_code() == NOT_LOGGED_IN


async def test_a_user_without_the_staff_flag_is_sent_away(paths: list[str]) -> None:
    cookie = await sync_to_async(lambda: cookie_of(member(is_staff=False)))()

    for path in paths:
        async with socket(path, cookie) as opened:
            assert await opened.close_code() == NOT_LOGGED_IN


@pytest.mark.parametrize("path", ["/", "/ws/nothing", "/ws/runs/not-an-id"])
async def test_a_socket_at_another_address_is_refused(path: str) -> None:
    async with socket(path, cookie="") as opened:
        assert not await opened.connect()


async def test_what_a_page_says_is_left_unread(run: FlowRun) -> None:
    cookie = await sync_to_async(lambda: cookie_of(member()))()

    async with socket("/ws/runs", cookie) as opened:
        assert await opened.connect()
        assert await opened.hint() == {"joined": 1}
        await opened.instance.send_input({"type": "websocket.receive", "text": "not JSON"})
        await tell(hint(run))
        assert (await opened.hint())["run_id"] == str(run.id)


async def test_a_run_of_a_foreign_workspace_is_refused(foreign_run: FlowRun) -> None:
    cookie = await sync_to_async(lambda: cookie_of(member()))()

    async with socket(f"/ws/runs/{foreign_run.id}", cookie) as opened:
        assert await opened.close_code() == FORBIDDEN


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost.evil.example", "null", None])
async def test_pages_of_other_sites_are_refused(paths: list[str], origin: str | None) -> None:
    cookie = await sync_to_async(lambda: cookie_of(member()))()

    for path in paths:
        async with socket(path, cookie, origin) as opened:
            assert not await opened.connect()


async def test_a_published_change_reaches_the_page_and_the_list(run: FlowRun, paths: list[str]) -> None:
    cookie = await sync_to_async(lambda: cookie_of(member()))()

    for path in paths:
        async with socket(path, cookie) as opened:
            await opened.connect()
            assert await opened.hint() == {"joined": 1}
            await tell(hint(run))
            assert await opened.hint() == {
                "run_id": str(run.id), "version": 2, "state_type": "RUNNING", "state_name": "Running",
            }  # fmt: skip


async def test_the_list_hears_nothing_of_foreign_workspaces(run: FlowRun, foreign_run: FlowRun) -> None:
    cookie = await sync_to_async(lambda: cookie_of(member()))()

    async with socket("/ws/runs", cookie) as opened:
        await opened.connect()
        await opened.hint()
        await tell(hint(foreign_run), hint(run))
        assert (await opened.hint())["run_id"] == str(run.id)
        assert await opened.instance.receive_nothing()


async def test_a_hundred_changes_become_a_few_hints_and_the_last_one_counts(run: FlowRun) -> None:
    cookie = await sync_to_async(lambda: cookie_of(member()))()

    async with socket(f"/ws/runs/{run.id}", cookie) as opened:
        await opened.connect()
        await opened.hint()
        began = time.monotonic()
        await tell(*(hint(run, version) for version in range(100)))
        versions: list[int] = []
        while not versions or versions[-1] < 99:
            versions.append((await opened.hint())["version"])

    assert len(versions) <= 2 + 10 * (time.monotonic() - began)
    assert versions == sorted(versions)


def left(user: AbstractUser, workspace: str = "default") -> None:
    Membership.objects.get(user=user, workspace__name=workspace).delete()


def deactivated(user: AbstractUser) -> None:
    user.is_active = False
    user.save()


def no_longer_staff(user: AbstractUser) -> None:
    user.is_staff = False
    user.save()


def with_another_password(user: AbstractUser) -> None:
    user.set_password("another")
    user.save()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (left, FORBIDDEN),
        (deactivated, NOT_LOGGED_IN),
        (no_longer_staff, NOT_LOGGED_IN),
        (with_another_password, NOT_LOGGED_IN),
    ],
)
async def test_an_open_socket_ends_with_the_access(
    paths: list[str], change: Callable[[AbstractUser], None], code: int
) -> None:
    for path in paths:
        user = await sync_to_async(member)(name=f"ada{len(path)}")
        cookie = await sync_to_async(cookie_of)(user)
        async with socket(path, cookie) as opened:
            assert await opened.connect()
            await opened.hint()
            await sync_to_async(change)(user)
            assert await opened.closed() == code


async def test_an_open_socket_ends_with_the_session(paths: list[str]) -> None:
    for path in paths:
        client = Client()
        await sync_to_async(lambda client=client, path=path: client.force_login(member(f"ada{len(path)}")))()
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        async with socket(path, cookie) as opened:
            assert await opened.connect()
            await opened.hint()
            await sync_to_async(client.logout)()
            assert await opened.closed() == NOT_LOGGED_IN


async def test_the_list_leaves_the_workspace_that_its_user_left(run: FlowRun, foreign_run: FlowRun) -> None:
    user = await sync_to_async(member)()
    both = Membership(user=user, workspace_id=foreign_run.workspace_id, role="viewer")
    await sync_to_async(both.save)()
    cookie = await sync_to_async(cookie_of)(user)

    async with socket("/ws/runs", cookie) as opened:
        assert await opened.connect()
        assert await opened.hint() == {"joined": 2}
        await sync_to_async(left)(user, "elsewhere")
        assert await opened.hint() == {"joined": 1}
        await tell(hint(foreign_run), hint(run))
        assert (await opened.hint())["run_id"] == str(run.id)
        assert await opened.instance.receive_nothing()


async def test_access_is_checked_without_a_hint(run: FlowRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.live.consumers.SECONDS_BETWEEN_CHECKS", 0.05)
    user = await sync_to_async(member)()
    cookie = await sync_to_async(cookie_of)(user)

    async with socket("/ws/runs", cookie) as opened:
        assert await opened.connect()
        await opened.hint()
        await get_user_model().objects.filter(pk=user.pk).aupdate(is_active=False)
        assert await opened.closed() == NOT_LOGGED_IN


async def test_a_subflow_page_hears_of_its_root(run: FlowRun, make_child: Callable[[], FlowRun]) -> None:
    child = await sync_to_async(make_child)()
    cookie = await sync_to_async(lambda: cookie_of(member()))()

    async with socket(f"/ws/runs/{child.id}", cookie) as opened:
        await opened.connect()
        assert await opened.hint() == {"joined": 2}
        await tell(hint(run))
        assert (await opened.hint())["run_id"] == str(run.id)


@pytest.fixture
def make_child(run: FlowRun) -> Callable[[], FlowRun]:
    def make() -> FlowRun:
        child = make_run()
        child.root_run = run
        child.save()
        return child

    return make


async def test_one_socket_too_many_is_closed(paths: list[str], settings: Any) -> None:
    settings.PORTAL_SOCKETS_AT_ONCE = 1
    cookie = await sync_to_async(lambda: cookie_of(member()))()

    async with socket(paths[0], cookie) as first:
        assert await first.connect()
        assert "joined" in await first.hint()
        async with socket(paths[0], cookie) as second:
            assert await second.close_code() == TOO_MANY
    async with socket(paths[0], cookie) as third:
        assert await third.connect()
        assert "joined" in await third.hint()


async def test_a_page_that_is_gone_before_it_is_answered_keeps_no_place(paths: list[str]) -> None:
    cookie = await sync_to_async(lambda: cookie_of(member()))()

    async def gone(message: Any) -> None:
        if message["type"] == "websocket.send":
            raise OSError("the client has disconnected")  # as uvicorn does

    async def connect() -> dict[str, str]:
        return {"type": "websocket.connect"}

    for path in paths:
        with pytest.raises(OSError, match="disconnected"):
            await application(scope_of(path, headers_of(cookie)), connect, gone)

    assert not _taken
