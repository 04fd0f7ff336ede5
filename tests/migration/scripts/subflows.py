"""Flows in flows: return_state, wait_for, failures that the parent handles."""

from prefect import flow, task


@task
def prepare() -> None:
    return None


@flow
def child(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number * 10


@flow
def parent() -> list:
    first = prepare.submit()
    results = [child(1, wait_for=[first])]
    state = child(-1, return_state=True)
    results += [state.type.value, state.is_failed(), str(state.result(raise_on_failure=False))]
    try:
        child(-2)
    except ValueError as error:
        results.append(f"caught {error}")
    return results


if __name__ == "__main__":
    print(parent())
    print(parent(return_state=True).is_completed())

# Prints:
# [10, 'FAILED', True, 'negative', 'caught negative']
# True
