"""Hooks on state changes, as arguments and as decorators."""

from prefect import flow, task

called = []


def note_task(task, task_run, state):
    called.append(f"task {task.name} {state.type.value}")


def note_flow(flow, flow_run, state):
    called.append(f"flow {flow.name} {state.type.value}")


@task(on_completion=[note_task], on_failure=[note_task])
def work(fine: bool) -> None:
    if not fine:
        raise ValueError("not fine")


@flow(on_completion=[note_flow], on_failure=[note_flow])
def job(fine: bool) -> None:
    work(fine)


@job.on_failure
def alarm(flow, flow_run, state):
    called.append(f"alarm: {state.message}")


if __name__ == "__main__":
    job(True)
    try:
        job(False)
    except ValueError as error:
        print("raised", error)
    for each in called:
        print(each)

# Prints:
# raised not fine
# task work COMPLETED
# flow job COMPLETED
# task work FAILED
# flow job FAILED
# alarm: Flow run encountered an exception: ValueError: not fine
