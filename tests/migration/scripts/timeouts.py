"""Timeouts of tasks and flows, sync and async."""

import asyncio
import time

from prefect import flow, task


@task(timeout_seconds=0.2)
def slow() -> None:
    time.sleep(5)


@task(timeout_seconds=5)
def quick() -> str:
    return "in time"


@flow
def impatient() -> list[str]:
    state = slow(return_state=True)
    return [state.type.value, state.name, quick()]


@flow(timeout_seconds=0.2)
async def impatient_flow() -> None:
    await asyncio.sleep(5)


if __name__ == "__main__":
    print(impatient())
    state = asyncio.run(impatient_flow(return_state=True))
    print(state.type.value, state.name)

# Prints:
# ['FAILED', 'TimedOut', 'in time']
# FAILED TimedOut
