"""Inputs that failed, and inputs left alone."""

from prefect import allow_failure, flow, task
from prefect.utilities.annotations import quote


@task
def explode() -> None:
    raise RuntimeError("boom")


@task
def kind_of(value) -> str:
    return type(value).__name__


@flow
def tolerant() -> list:
    failed = explode.submit()
    strict = kind_of.submit(failed)
    return [
        kind_of.submit(allow_failure(failed)).result(),
        kind_of.submit(quote([1, 2])).result(),
        strict.state.name if strict.wait() is None else "",
    ]


if __name__ == "__main__":
    print(tolerant())

# Prints:
# ['RuntimeError', 'list', 'NotReady']
