"""Flows that talk to Portal while they run; agents of the tests execute them."""

from flows import flow, task
from flows.deployments import run_deployment


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
    assert run.state.is_completed()
