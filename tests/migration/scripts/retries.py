"""Ways to retry: a list of delays, backoff, a condition, a whole flow."""

from prefect import flow, task
from prefect.tasks import exponential_backoff

seen = []


@task(retries=2, retry_delay_seconds=[0.01, 0.02])
def second_time_lucky() -> str:
    seen.append("list")
    if seen.count("list") < 2:
        raise RuntimeError("not yet")
    return "lucky"


@task(retries=3, retry_delay_seconds=exponential_backoff(backoff_factor=0.001), retry_jitter_factor=0.5)
def backing_off() -> str:
    seen.append("backoff")
    if seen.count("backoff") < 3:
        raise RuntimeError("not yet")
    return "backed off"


def is_worth_it(task, task_run, state) -> bool:
    try:
        state.result()
    except KeyError:
        return False
    except Exception:
        pass
    return True


@task(retries=5, retry_condition_fn=is_worth_it)
def hopeless() -> None:
    seen.append("hopeless")
    raise KeyError("never")


@flow(retries=1)
def flaky() -> str:
    seen.append("flow")
    if seen.count("flow") < 2:
        raise RuntimeError("the whole flow fails")
    state = hopeless(return_state=True)
    return f"{second_time_lucky()}, {backing_off()}, {state.type.value}"


if __name__ == "__main__":
    print(flaky())
    print({kind: seen.count(kind) for kind in ("list", "backoff", "hopeless", "flow")})

# Prints:
# lucky, backed off, FAILED
# {'list': 2, 'backoff': 3, 'hopeless': 1, 'flow': 2}
