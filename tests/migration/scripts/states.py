"""States as return values, and what decides how a flow ends."""

from prefect import flow, task
from prefect.states import Cancelled, Completed, Failed


@task
def verdict(good: bool):
    return Completed(message="good enough") if good else Failed(message="not good")


@task
def explode():
    raise RuntimeError("boom")


@flow
def by_state(good: bool):
    return verdict(good, return_state=True)


@flow
def named():
    return Completed(message="nothing to do", name="Skipped")


@flow
def cancelled():
    return Cancelled(message="by hand")


@flow
def several():
    return [verdict(True, return_state=True), explode(return_state=True)]


@flow
def tolerant():
    state = explode(return_state=True)
    return "went on" if state.is_failed() else "strange"


if __name__ == "__main__":
    for state in (
        named(return_state=True),
        cancelled(return_state=True),
        several(return_state=True),
        tolerant(return_state=True),
    ):
        print(state.type.value, state.name, "|", state.message or "-")
    print(tolerant(), by_state(True, return_state=True).name, by_state(False, return_state=True).name)

# Prints:
# COMPLETED Skipped | nothing to do
# CANCELLED Cancelled | by hand
# FAILED Failed | 1/2 states failed.
# COMPLETED Completed | -
# went on Completed Failed
