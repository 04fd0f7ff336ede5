"""`flow.deploy`, `flow.serve`, `serve` and `flow.from_source`."""

import asyncio
import signal
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from agents.models import Agent, WorkPool
from flows import deploy, flow, serve
from flows.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from flows.deployments import GitRepository, RunnerDeployment, SourceError
from flows.models import Deployment
from flows.schedules import Cron, Interval
from flows.sdk.flows import Flow
from flows.types.entrypoint import EntrypointType
from runs.create import create_flow_run
from tests.around import flow_file
from tests.around.conftest import Around
from tests.factories import default_workspace, make_deployment
from tests.faults.conftest import is_alive
from tests.processes import PATIENCE, wait_until

SCRIPT = '''
from flows import flow

@flow(log_prints=True)
def hello(name: str = "you"):
    """Say hello."""
    print(f"hello {name}")

if __name__ == "__main__":
    hello.serve("here", cron="0 6 * * *", tags=["served"])
'''


def test_deploy_makes_what_was_asked_for(weather: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    made = flow_file.double.deploy(
        "nightly",
        work_queue_name="etl",
        cron="0 6 * * *",
        timezone="Europe/Berlin",
        parameters={"number": 4},
        tags=["a"],
        description="Twice.",
        version="7",
        paused=True,
    )

    deployment = Deployment.objects.select_related("work_queue", "flow").get(id=made)
    assert (deployment.flow.name, deployment.name) == ("double", "nightly")
    assert (deployment.work_queue.name, deployment.version, deployment.paused) == ("etl", "7", True)
    assert (deployment.parameters, deployment.tags, deployment.description) == (
        {"number": 4},
        ["a"],
        "Twice.",
    )
    assert (Path(deployment.path) / deployment.entrypoint.split(":")[0]).samefile(flow_file.__file__)
    assert deployment.parameter_openapi_schema["required"] == ["number"]
    assert [(each.cron, each.timezone) for each in deployment.schedules.all()] == [
        ("0 6 * * *", "Europe/Berlin")
    ]
    assert 'run_deployment("double/nightly")' in capsys.readouterr().out


def test_deploying_again_keeps_the_schedules_unless_others_are_given(weather: Deployment) -> None:
    made = flow_file.double.deploy("nightly", interval=60)
    flow_file.double.deploy("nightly")
    assert Deployment.objects.get(id=made).schedules.get().interval == timedelta(minutes=1)

    flow_file.double.deploy("nightly", schedules=[Cron("@daily"), Interval(timedelta(hours=1))])
    assert Deployment.objects.get(id=made).schedules.count() == 2


def test_a_flow_that_no_agent_could_find_is_refused() -> None:
    @flow
    def inner() -> None: ...

    with pytest.raises(ValueError, match="top level of a file"):
        inner.to_deployment("x")


def test_an_option_that_does_not_exist_is_named() -> None:
    with pytest.raises(TypeError, match="colour"):
        flow_file.double.to_deployment("x", colour="red")


@pytest.mark.parametrize(
    ("option", "instead"), [("triggers", "automation"), ("version_type", "version="), ("_sla", "late")]
)
def test_an_option_of_prefects_that_portal_has_not_says_what_to_do(option: str, instead: str) -> None:
    with pytest.raises(TypeError, match=instead):
        flow_file.double.to_deployment("x", **{option: ["something"]})


@pytest.fixture
def big() -> WorkPool:
    """A second work pool."""
    return WorkPool.objects.create(workspace=default_workspace(), name="big")


def test_what_prefects_deploy_takes_is_taken(weather: Deployment, big: WorkPool) -> None:
    made = flow_file.double.deploy(
        "nightly",
        "big",
        image="etl:7",
        build=False,
        push=False,
        job_variables={"memory": 512},
        enforce_parameter_schema=False,
        triggers=[],
        ignore_warnings=True,
        print_next_steps=False,
    )

    deployment = Deployment.objects.select_related("work_queue__work_pool").get(id=made)
    assert deployment.work_queue.work_pool.name == "big"
    assert deployment.job_variables == {"memory": 512, "image": "etl:7"}
    assert deployment.enforce_parameter_schema is False


def test_a_limit_is_a_number_or_says_what_becomes_of_the_next_run() -> None:
    strategy = ConcurrencyLimitStrategy.CANCEL_NEW
    limits = [3, ConcurrencyLimitConfig(limit=1, collision_strategy=strategy), None]
    found = [flow_file.double.to_deployment("x", concurrency_limit=limit) for limit in limits]

    assert [each.concurrency_limit and each.concurrency_limit.limit for each in found] == [3, 1, None]
    assert found[1].concurrency_limit == limits[1]
    with pytest.raises(ValueError, match="must be 0 or more"):
        flow_file.double.to_deployment("x", concurrency_limit=-1)


def test_agents_may_import_the_flow_by_its_module() -> None:
    deployment = flow_file.double.to_deployment("x", entrypoint_type=EntrypointType.MODULE_PATH)

    assert (deployment.path, deployment.entrypoint) == ("", "tests.around.flow_file:double")


def test_several_are_deployed_at_once(
    weather: Deployment, big: WorkPool, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [flow_file.double.to_deployment(name) for name in ("one", "two")]

    made = deploy(*both, work_pool_name="big", image="etl:7")

    found = Deployment.objects.filter(id__in=made, work_queue__work_pool__name="big")
    assert sorted(found.values_list("name", flat=True)) == ["one", "two"]
    assert 'run_deployment("double/two")' in capsys.readouterr().out


def test_a_coroutine_deploys_too(weather: Deployment) -> None:
    made = asyncio.run(flow_file.double.adeploy("nightly", print_next_steps=False))
    assert Deployment.objects.get(id=made).name == "nightly"


def test_to_deployment_makes_nothing_yet() -> None:
    deployment = flow_file.double.to_deployment("x", interval=10)

    assert isinstance(deployment, RunnerDeployment) and deployment.full_name == "double/x"


@pytest.mark.parametrize("wrong", [{"interval": 0}, {"timezone": "UTC"}])
def test_schedules_are_checked_where_they_are_written(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"interval|timezone"):
        flow_file.double.to_deployment("x", **wrong)


def test_serve_wants_deployments() -> None:
    with pytest.raises(ValueError, match="at least one"):
        serve()


@pytest.mark.processes
def test_serve_executes_runs_here_until_ctrl_c(around: Around, tmp_path: Path) -> None:
    around.serve()
    file = tmp_path / "hello.py"
    file.write_text(SCRIPT)
    script = around.script(file)
    try:
        deployment = wait_until(lambda: Deployment.objects.filter(name="here").first(), what="deployed")
        run = around.ended(create_flow_run(deployment, parameters={"name": "Ada"}))
        assert run.state_type == "COMPLETED" and run.tags == ["served"]
        script.send_signal(signal.SIGINT)
        said, _ = script.communicate(timeout=PATIENCE)
    finally:
        script.kill()
    assert script.returncode == 0, said
    assert "Serving hello/here" in said
    deployment.refresh_from_db()
    assert deployment.paused
    assert deployment.work_queue.name == "served hello here"


@pytest.mark.processes
def test_the_agents_of_serve_end_with_it_however_it_ends(around: Around, tmp_path: Path) -> None:
    around.serve()
    file = tmp_path / "hello.py"
    file.write_text(SCRIPT.replace('"here", ', '"here", limit=2, '))
    script = around.script(file)
    try:
        wait_until(lambda: Agent.objects.count() == 2, what="two agents")
        pids = list(Agent.objects.values_list("pid", flat=True))
    finally:
        script.kill()
    script.communicate()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), what="the agents ended")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with the flow of SCRIPT."""
    monkeypatch.setenv("PORTAL_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "hello.py").write_text(SCRIPT)
    git(folder, "init", "--quiet", "--initial-branch", "trunk")
    git(folder, "add", ".")
    commit(folder)
    return folder


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "-am", "x")


def test_a_flow_comes_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(SCRIPT)

    found = flow.from_source(tmp_path, "hello.py:hello")

    assert found.fn("Ada") is None
    deployment = found.with_options(retries=1).to_deployment("x")
    assert (deployment.path, deployment.entrypoint) == (str(tmp_path), "hello.py:hello")


def test_a_flow_comes_from_the_newest_commit_of_a_git_branch(repository: Path) -> None:
    source = f"file://{repository}"
    first = flow_of(source)
    (repository / "hello.py").write_text(SCRIPT.replace("Say hello.", "Say it again."))
    commit(repository)

    assert first.description == "Say hello."
    assert flow_of(GitRepository(source, branch="trunk")).description == "Say it again."
    deployment = flow_of(GitRepository(source, branch="trunk")).to_deployment("x")
    assert (deployment.path, deployment.entrypoint) == (f"git+{source}#trunk", "hello.py:hello")


def flow_of(source: str | GitRepository) -> Flow[..., None]:
    return Flow.from_source(source, entrypoint="hello.py:hello")


@pytest.mark.parametrize(
    "url", ["ext::sh -c true", "http://example.org/x", "--upload-pack=x", "file://-x", ""]
)
def test_a_source_that_git_must_not_follow_is_refused(url: str) -> None:
    with pytest.raises(SourceError, match="https, ssh or file"):
        GitRepository(url)


@pytest.mark.parametrize("branch", ["--upload-pack=x", "", "a b"])
def test_a_branch_is_a_name(branch: str) -> None:
    with pytest.raises(SourceError, match="branch"):
        GitRepository("https://example.org/x", branch)


def test_a_branch_that_is_not_there_is_named(repository: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        GitRepository(f"file://{repository}", "nowhere").fetch()


@pytest.mark.processes
def test_agents_run_what_is_in_git(around: Around, repository: Path) -> None:
    around.agent()
    path = f"git+file://{repository}"
    deployment = make_deployment("x", "hello", entrypoint="hello.py:hello", path=path)

    assert around.ended(create_flow_run(deployment)).state_type == "COMPLETED"
