"""Runs are kept as their workspace's policies say, and not a day less."""

from datetime import UTC, date, datetime, timedelta

import pytest

from agents.services.database import database_time
from agents.services.retention import keep_what_is_wanted, remove_runs
from flows.models import Workspace
from flows.sdk.ids import uuid7
from runs.models import Artifact, FlowRun, Log, RetentionPolicy, RunStats, TaskRun
from runs.partitions import LOGS, ensure_partitions, partitions_before
from runs.retention import Rule, preview, rules_of
from tests.factories import default_workspace, lease, make_deployment
from tests.runs.ended import ended_run

pytestmark = pytest.mark.django_db


def policy(days: int | None, deployment: object = None, state: str = "") -> RetentionPolicy:
    return RetentionPolicy.objects.create(
        workspace=default_workspace(), deployment=deployment, state_type=state, keep_days=days
    )


def left() -> set[object]:
    keep_what_is_wanted(database_time())
    return set(FlowRun.objects.values_list("id", flat=True))


def test_without_a_policy_runs_are_kept_for_ever() -> None:
    old = ended_run(days_ago=4000)

    assert left() == {old.id}


def test_a_policy_removes_what_ended_before_its_days() -> None:
    policy(30)
    ended_run(days_ago=31)
    recent = ended_run(days_ago=29)

    assert left() == {recent.id}


def test_a_run_that_began_long_ago_and_ended_lately_is_kept() -> None:
    policy(30)
    long = ended_run(days_ago=1, took=timedelta(days=60).total_seconds())

    assert left() == {long.id}


def test_the_policy_of_a_deployment_holds_before_that_of_its_workspace() -> None:
    precious, dull = make_deployment("precious"), make_deployment("dull")
    policy(30)
    policy(None, precious)
    policy(2, dull)
    kept = ended_run(precious, days_ago=400)
    ended_run(dull, days_ago=3)
    other = ended_run(days_ago=3)

    assert left() == {kept.id, other.id}


def test_the_policy_of_a_state_holds_before_that_of_all_states() -> None:
    policy(7)
    policy(90, state="FAILED")
    ended_run(state="COMPLETED", days_ago=8)
    failed = ended_run(state="FAILED", days_ago=8)

    assert left() == {failed.id}


def test_another_workspace_keeps_its_runs() -> None:
    elsewhere = Workspace.objects.create(name="elsewhere")
    RetentionPolicy.objects.create(workspace=elsewhere, keep_days=1)
    ours = ended_run(days_ago=9)

    assert left() == {ours.id}


def test_what_has_not_ended_or_is_owned_stays() -> None:
    policy(1)
    waiting = ended_run(state="SCHEDULED", days_ago=9)
    owned = ended_run(days_ago=9)
    FlowRun.objects.filter(id=lease(owned).id).update(state_type="COMPLETED")

    assert left() == {waiting.id, owned.id}


def test_all_that_belongs_to_a_run_goes_with_it() -> None:
    policy(1)
    run = ended_run(days_ago=9)
    subflow = ended_run(days_ago=9)
    FlowRun.objects.filter(id=subflow.id).update(root_run=run)
    task = TaskRun.objects.create(
        flow_run=run,
        task_key="t",
        dynamic_key="0",
        name="t-0",
        state_timestamp=run.created,
        created=run.created,
    )
    Artifact.objects.create(
        workspace=run.workspace, flow_run=run, task_run_id=task.id, type="markdown", data="# hi"
    )

    assert left() == set()
    assert not TaskRun.objects.exists() and not Artifact.objects.exists()


def test_a_step_is_bounded_and_asks_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.services.retention.MOST_RUNS", 2)
    monkeypatch.setattr("runs.retention.BATCH", 2)
    monkeypatch.setattr("agents.services.retention.BATCH", 2)
    policy(1)
    for _ in range(3):
        ended_run(days_ago=9)
    now = database_time()
    [rule] = [each for each in rules_of(RetentionPolicy.objects.all()) if each.state_type == "COMPLETED"]

    assert remove_runs(rule, now, most=2) == 2
    assert FlowRun.objects.count() == 1


def test_a_preview_counts_and_removes_nothing() -> None:
    policy(30, state="COMPLETED")
    oldest = ended_run(days_ago=50)
    ended_run(days_ago=40)

    [row] = preview(RetentionPolicy.objects.all(), database_time())

    assert (row["runs"], row["oldest"], row["keep_days"]) == (2, oldest.end_time, 30)
    assert FlowRun.objects.count() == 2


def test_rules_say_which_deployments_have_their_own() -> None:
    deployment = make_deployment("own")
    policy(30, state="FAILED")
    policy(5, deployment)

    rules = {(rule.deployment_id, rule.state_type): rule for rule in rules_of(RetentionPolicy.objects.all())}

    everywhere = rules[None, "FAILED"]
    assert everywhere == Rule(
        default_workspace().id, "FAILED", timedelta(days=30), None, frozenset({deployment.id})
    )
    assert (None, "COMPLETED") not in rules and (deployment.id, "COMPLETED") in rules


def log_line(day: datetime) -> Log:
    return Log.objects.create(
        id=uuid7(), timestamp=day, flow_run_id=uuid7(), level=20, name="flows", message="hello"
    )


def test_old_days_of_logs_are_dropped_and_new_ones_stay() -> None:
    ensure_partitions(date(2020, 5, 1), days=0)
    log_line(datetime(2020, 5, 1, 12, tzinfo=UTC))  # in a partition
    log_line(datetime(2019, 5, 1, 12, tzinfo=UTC))  # in the default one
    fresh = log_line(database_time())

    keep_what_is_wanted(database_time())

    assert list(Log.objects.values_list("id", flat=True)) == [fresh.id]
    assert partitions_before(LOGS, date(2020, 5, 2)) == []


def test_what_goes_was_counted_also_after_a_long_absence_of_schedulers() -> None:
    policy(1)
    ended_run(days_ago=3)

    assert not left()
    assert RunStats.objects.get().runs == 1
