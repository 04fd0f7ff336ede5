"""Submitting and mapping: futures, unmapped, wait, as_completed."""

from prefect import flow, task, unmapped
from prefect.futures import as_completed, wait


@task
def power(base: int, exponent: int) -> int:
    return base**exponent


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@flow
def mapping() -> dict:
    squares = power.map([1, 2, 3], unmapped(2))
    cubes = power.map([1, 2, 3], exponent=unmapped(3))
    done, not_done = wait([*squares, *cubes])
    single = power.submit(2, 10)
    together = total.submit([single, *squares])
    return {
        "squares": squares.result(),
        "cubes": [future.result() for future in cubes],
        "done": (len(done), len(not_done)),
        "completed": sorted(future.result() for future in as_completed(squares)),
        "together": together.result(),
        "state": together.state.name,
    }


if __name__ == "__main__":
    for name, value in mapping().items():
        print(name, value)

# Prints:
# squares [1, 4, 9]
# cubes [1, 8, 27]
# done (6, 0)
# completed [1, 4, 9]
# together 1038
# state Completed
