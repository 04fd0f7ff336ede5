"""Flows that talk to Portal while they run; agents of the tests execute them."""

import os
import time
from pathlib import Path

from flows import flow, task
from flows.concurrency.asyncio import concurrency as async_concurrency
from flows.concurrency.asyncio import rate_limit as async_rate_limit
from flows.concurrency.sync import concurrency
from flows.deployments import run_deployment
from flows.events import emit_event


@flow
def double(number: int) -> int:
    return 2 * number


@flow
def boom() -> None:
    raise ValueError("boom")


@task
def three() -> int:
    return 3


@flow
def parent(child: str, **options: object) -> str:
    """Completes if the child ended as it should."""
    run = run_deployment(child, parameters={"number": three.submit()} if "double" in child else {}, **options)
    return f"{run.name} {run.state_name}"


@flow
async def async_parent(child: str) -> None:
    run = await run_deployment(child, parameters={"number": 3})
    assert run.state.result() == 6


@task
def guarded(folder: str, name: str) -> None:
    """Notes when it came and went."""
    with concurrency("database"):
        with (Path(folder) / "log").open("a") as log:
            log.write("in\n")
        time.sleep(0.05)
        with (Path(folder) / "log").open("a") as log:
            log.write("out\n")


@flow
def alone(folder: str) -> None:
    """Notes when it came and went; only one may at a time, by the limit of its deployment."""
    with (Path(folder) / "log").open("a") as log:
        log.write("in\n")
    time.sleep(0.05)
    with (Path(folder) / "log").open("a") as log:
        log.write("out\n")


@flow
def crowd(folder: str) -> None:
    for number in range(6):
        guarded.submit(folder, str(number))


@task(tags=["db", "not limited"])
def query(folder: str) -> None:
    """Notes when it came and went."""
    log = Path(folder) / "log"
    for note in ("in\n", "out\n"):
        with log.open("a") as file:
            file.write(note)
        time.sleep(0.05)


@flow
def tagged(folder: str) -> None:
    for _ in range(4):
        query.submit(folder)


@flow
def hog(folder: str) -> None:
    """Holds the only slot until it is killed."""
    with concurrency("database"):
        (Path(folder) / "pid").write_text(str(os.getpid()))
        time.sleep(600)


@flow
async def async_crowd() -> None:
    async with async_concurrency(["database", "not a limit"], timeout_seconds=5):
        await async_rate_limit("calls")


@task
def pay() -> None:
    emit_event("order.paid", {"prefect.resource.id": "order.7"}, payload={"amount": 3})


@flow
def shop() -> None:
    pay()
