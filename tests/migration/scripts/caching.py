"""Caching: policies, key functions, refreshing."""

from datetime import timedelta

from prefect import flow, task
from prefect.cache_policies import INPUTS, NO_CACHE, TASK_SOURCE
from prefect.tasks import task_input_hash

calls = []


@task(cache_policy=INPUTS + TASK_SOURCE - "debug", persist_result=True, cache_expiration=timedelta(hours=1))
def square(number: int, debug: bool = False) -> int:
    calls.append("square")
    return number**2


@task(cache_key_fn=task_input_hash, persist_result=True)
def cube(number: int) -> int:
    calls.append("cube")
    return number**3


@task(cache_policy=NO_CACHE)
def never(number: int) -> int:
    calls.append("never")
    return number


@flow
def work(number: int) -> list:
    square(number)
    again = square(number, debug=True, return_state=True)
    cube(number)
    return [again.name, again.result(), cube(number), never(1), never(1)]


if __name__ == "__main__":
    import random

    number = random.randrange(10**9)  # results outlive the script
    result = work(number)
    print(result[0], result[1] == number**2, result[2] == number**3)
    print({name: calls.count(name) for name in ("square", "cube", "never")})

# Prints:
# Cached True True
# {'square': 1, 'cube': 1, 'never': 2}
