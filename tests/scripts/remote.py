"""Flows that ask their server for all there is: `python remote.py FLOW FOLDER`, as `script.py`.

With RUN_ID and ATTEMPT in the environment the process is an isolated one: it executes that run, which an
agent owns, and its key is the run's token.
"""

import os
import sys
import time
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel

from flows import flow, pause_flow_run, task
from flows.artifacts import create_markdown_artifact
from flows.blocks import Secret
from flows.cache_policies import INPUTS
from flows.concurrency import concurrency, rate_limit
from flows.deployments import run_deployment
from flows.events import emit_event
from flows.input import receive_input, send_input
from flows.runtime import flow_run
from flows.transactions import transaction
from flows.variables import Variable

folder = Path(sys.argv[2])


class Answer(BaseModel):
    approved: bool


@flow
def around() -> str:
    """Variables, blocks, slots, events, artifacts."""
    Variable.set("city", "Seattle")
    Variable.set("city", "Oslo", overwrite=True)
    Secret(value="s3cret").save("login", overwrite=True)
    with concurrency("database", timeout_seconds=20):
        rate_limit("calls", timeout_seconds=20)
    emit_event("order.paid", {"prefect.resource.id": "order.1"})
    create_markdown_artifact("# done", key="note")
    return (
        f"{Variable.get('city')} {Secret.load('login').get()} {Variable.unset('city')} {Variable.get('city')}"
    )


@flow
def asks() -> str:
    """Waits for people."""
    answer = pause_flow_run(wait_for_input=Answer, timeout=60, poll_interval=0.1)
    return f"approved={answer.approved}"


@flow
def talks() -> str:
    """Sends itself something, and takes it."""
    send_input("hello", flow_run_id=flow_run.id)
    return next(receive_input(str, timeout=20, poll_interval=0.1))


@task(cache_policy=INPUTS, persist_result=True)
def slow(number: int) -> int:
    with (folder / "computed").open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.5)
    return number + 1


@flow
def cached() -> int:
    return slow(1)


@flow
def transacted() -> str:
    with transaction(key="stored") as txn:
        if not txn.is_committed():
            txn.stage("computed")
            return "computed"
        return f"found {txn.read().result}"


@flow
def replayed() -> int:
    """Crashes once behind its task and its subflow: the next attempt takes their results."""
    value = unasked(20) + inner(1)
    if not (folder / "crashed").exists():
        (folder / "crashed").touch()
        os._exit(1)
    return value


@flow
def inner(number: int) -> int:
    with (folder / "unasked").open("a") as file:
        file.write("y")
    return number


@task
def unasked(number: int) -> int:
    with (folder / "unasked").open("a") as file:
        file.write("x")
    return number + 1


@flow(persist_result=True)
def answers() -> dict[str, int]:
    return {"a": 1}


@flow
def starts() -> str:
    run = run_deployment("double/prod", parameters={"number": 21}, timeout=30)
    return f"{run.state_name} {run.state.result()}"


def isolated(name: str) -> object:
    """Execute the run that RUN_ID names, as the process of an isolated agent does."""
    from flows.sdk.client import ApiClient
    from flows.sdk.engine import run_flow
    from flows.sdk.http import HttpRecorder
    from flows.sdk.recorder import FlowRunInfo

    run_id, attempt = UUID(os.environ["RUN_ID"]), int(os.environ["ATTEMPT"])
    client = ApiClient(os.environ["PORTAL_API_URL"], os.environ["PORTAL_API_KEY"])
    recorder = HttpRecorder(client, run_id, attempt)
    run = FlowRunInfo(run_id, "isolated", name, {}, attempt=attempt, run_count=attempt - 1)
    try:
        return run_flow(globals()[name], {}, recorder=recorder, run=run).result()
    finally:
        recorder.close()


if __name__ == "__main__":
    print("result:", isolated(sys.argv[1]) if "RUN_ID" in os.environ else globals()[sys.argv[1]]())
