"""Prefect's own command line against Portal, many commands in one process: each start costs seconds."""

import re

import pytest

from flows.models import Deployment
from runs.models import ConcurrencyLimit, FlowRun
from tests.prefect.client import PrefectClient

pytestmark = pytest.mark.processes

MANY = """
import shlex, sys
from prefect.cli import app

for line in sys.argv[1:]:
    sys.argv = ["prefect", *shlex.split(line)]
    print("$", line, flush=True)
    try:
        app()
    except SystemExit as done:
        print("exit", done.code or 0, flush=True)
"""
DEPLOY = """
from pathlib import Path
from prefect import flow

@flow
def pipeline(n: int = 2, label: str = "a"):
    return n

if __name__ == "__main__":
    here = pipeline.from_source(source=str(Path(__file__).parent), entrypoint="deployed.py:pipeline")
    here.deploy(
        name="daily", work_pool_name="px", work_queue_name="fast", parameters={"n": 3}, tags=["pool"],
        job_variables={"env": {"FOO": "1"}}, interval=3600, concurrency_limit=1, ignore_warnings=True,
    )
"""


def results(printed: str) -> dict[str, tuple[int, str]]:
    """Exit and output of each command."""
    found = re.findall(r"^\$ (.*?)\n(.*?)^exit (\d+)$", printed, re.MULTILINE | re.DOTALL)
    return {line: (int(code), output) for line, output, code in found}


def test_pools_limits_and_variables(prefect_client: PrefectClient) -> None:
    good = [
        "work-pool create px --type process", "work-pool ls", "work-pool inspect px -o json",
        "work-pool set-concurrency-limit px 3", "work-pool clear-concurrency-limit px",
        "work-pool update px --description hello", "work-pool pause px", "work-pool resume px",
        "work-pool preview px", "work-queue create fast -p px --priority 1", "work-queue ls",
        "work-queue ls -p px", "work-queue inspect fast -p px", "work-queue pause fast -p px",
        "work-queue resume fast -p px", "work-queue set-concurrency-limit fast 2 -p px",
        "work-queue clear-concurrency-limit fast -p px", "work-queue read-runs fast -p px",
        "gcl create a --limit 2", "gcl ls", "gcl inspect a", "gcl update a --limit 3", "gcl disable a",
        "gcl enable a", "concurrency-limit create db 2", "concurrency-limit ls",
        "concurrency-limit inspect db", "concurrency-limit reset db", "concurrency-limit delete db",
        "variable set v1 5 --tag x", "variable ls", "variable set v1 6 --overwrite",
        "variable inspect v1", "variable unset v1", "automation ls", "flow ls", "flow-run ls",
        "work-queue delete fast -p px", "work-pool create other --type process", "work-pool delete other",
    ]  # fmt: skip
    bad = [
        "work-pool create px --type docker", "work-pool inspect nope", "work-queue inspect nope -p px",
        "gcl create a --limit 9", "gcl inspect nope", "concurrency-limit inspect nope", "variable get v1",
    ]  # fmt: skip

    done = results(prefect_client.run("-c", MANY, *good, *bad))

    assert {line: done[line] for line in good if done[line][0] != 0} == {}
    assert {line: done[line] for line in bad if done[line][0] != 1 or "Traceback" in done[line][1]} == {}
    assert ConcurrencyLimit.objects.get().limit == 3


def test_a_deployment_is_made_run_and_deleted(prefect_client: PrefectClient) -> None:
    (prefect_client.folder / "deployed.py").write_text(DEPLOY)
    prefect_client.run("-c", MANY, "work-pool create px --type process")
    prefect_client.run("deployed.py")
    good = [
        "deployment ls", "deployment inspect pipeline/daily", "deployment schedule ls pipeline/daily",
        'deployment schedule create pipeline/daily --cron "0 3 * * *" --timezone Europe/Berlin',
        "deployment schedule create pipeline/daily --rrule FREQ=DAILY",
        "deployment schedule clear pipeline/daily -y", "deployment run pipeline/daily --param n=7 --tag hot",
        'deployment run pipeline/daily --start-in "3 hours"', "work-pool preview px", "flow-run ls",
    ]  # fmt: skip
    bad = ["deployment run pipeline/daily --param n=text", "deployment run pipeline/nope"]

    done = results(prefect_client.run("-c", MANY, *good, *bad))

    assert {line: done[line] for line in good if done[line][0] != 0} == {}
    assert {line: done[line] for line in bad if done[line][0] != 1 or "Traceback" in done[line][1]} == {}
    deployment = Deployment.objects.get()
    assert deployment.pull_steps == [
        {"prefect.deployments.steps.set_working_directory": {"directory": str(prefect_client.folder)}}
    ]
    assert (deployment.concurrency_limit, deployment.job_variables) == (1, {"env": {"FOO": "1"}})
    run = FlowRun.objects.get(parameters={"n": 7})
    assert (run.tags, str(run.work_queue)) == (["pool", "hot"], "px/fast")
    assert (run.labels or {})["prefect.deployment.id"] == str(deployment.id)
    prefect_client.run("-c", MANY, "deployment delete pipeline/daily")
    assert not Deployment.objects.exists()
