"""compose.yaml without a container engine: what it says, and each service's real command."""

import json
import re
import shlex
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from portal.ops.stack import PLACEHOLDERS
from tests.processes import PROJECT, Child, RunningStack, free_port, wait_until

SECRETS = {"PORTAL_SECRET_KEY": "k" * 50, "POSTGRES_PASSWORD": "pg-word", "REDIS_PASSWORD": "redis-word"}
VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^${}]*))?\}")


class Missing(Exception):
    """Compose stops with this text: a variable without a default is not set."""


def compose(variables: dict[str, str]) -> dict[str, Any]:
    """The services as Compose sees them."""

    def value(match: "re.Match[str]") -> str:
        name, operator, text = match.groups()
        if variables.get(name):
            return variables[name]
        if operator == ":?":
            raise Missing(text)
        return text or ""

    content = (PROJECT / "compose.yaml").read_text()
    while VARIABLE.search(content):
        content = VARIABLE.sub(value, content)
    services: dict[str, Any] = yaml.safe_load(content.replace("$$", "$"))["services"]
    return services


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_no_secret_has_a_default(name: str) -> None:
    with pytest.raises(Missing, match=f"set {name} in .env"):
        compose({**SECRETS, name: ""})


def test_the_customers_names_are_read() -> None:
    customer = {"POSTGRES_USER": "prefect", "POSTGRES_DB": "flows", "PREFECT_PORT": "4300"}

    server = compose({**SECRETS, **customer})["server"]

    assert server["environment"]["DATABASE_URL"] == "postgresql://prefect:pg-word@postgres:5432/flows"
    assert server["environment"]["PORTAL_URL"] == "http://localhost:4300"
    assert server["ports"] == ["4300:4200"]


def test_each_variable_of_the_example_reaches_a_service() -> None:
    named = re.findall(r"^#?([A-Z]\w+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE)
    read = set(re.findall(r"\$\{(\w+)", (PROJECT / "compose.yaml").read_text()))

    assert named
    assert set(named) - read == set()


def test_each_number_of_the_settings_is_in_the_readme() -> None:
    numbers = re.findall(r'_number\("(\w+)"', (PROJECT / "portal" / "settings.py").read_text())

    assert numbers
    assert [name for name in numbers if f"`{name}`" not in (PROJECT / "README.md").read_text()] == []


def test_isolated_runs_reach_the_server_by_its_name() -> None:
    services = compose(SECRETS)

    for name in ("server", "agent"):
        assert services[name]["environment"]["PORTAL_AGENT_API_URL"] == "http://server:4200/api"


def test_agents_share_a_folder_for_large_results_and_the_scheduler_cleans_it() -> None:
    services = compose(SECRETS)

    for name in ("agent", "scheduler"):
        assert services[name]["environment"]["PORTAL_RESULT_STORAGE"] == "/results"
        assert "results:/results" in services[name]["volumes"]


def test_it_stands_on_the_customers_postgresql() -> None:
    assert compose(SECRETS)["postgres"]["image"] == "postgres:16-alpine"


@pytest.mark.parametrize("name", ["server", "scheduler", "agent"])
def test_processes_start_when_the_database_is_prepared(name: str) -> None:
    needs = compose(SECRETS)[name]["depends_on"]

    assert needs["prepare"]["condition"] == "service_completed_successfully"
    assert needs["postgres"]["condition"] == needs["valkey"]["condition"] == "service_healthy"


def test_the_examples_secrets_are_refused(stack: RunningStack) -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    result = stack.run("prepare", env={"PORTAL_SECRET_KEY": example["PORTAL_SECRET_KEY"]})

    assert result.returncode == 1
    assert "PORTAL_SECRET_KEY is still a placeholder" in result.stderr
    assert example["POSTGRES_PASSWORD"] in PLACEHOLDERS


class Services:
    """Runs a service's command of compose.yaml on the test servers."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.port = free_port()
        self.definition = compose(SECRETS)

    def environment(self, name: str) -> dict[str, str]:
        given = self.definition[name]["environment"]
        ours = {"DATABASE_URL": self.stack.database_url, "REDIS_URL": self.stack.redis_url}
        # Compose reads an empty value as the empty text, YAML as nothing.
        return {name: text or "" for name, text in {**given, **ours, "PORTAL_PORT": str(self.port)}.items()}

    def start(self, name: str) -> Child:
        return self.stack.start(*self.definition[name]["command"], env=self.environment(name))


@pytest.fixture
def services(stack: RunningStack) -> Services:
    return Services(stack)


@pytest.mark.processes
def test_prepare_shows_login_and_key_once(services: Services) -> None:
    first = services.start("prepare")
    assert first.wait() == 0, first.output
    second = services.start("prepare")
    assert second.wait() == 0, second.output

    assert "Login: admin / " in first.output
    assert "API key: portal_" in first.output
    assert "API key: made before" in second.output


@pytest.mark.processes
def test_two_preparations_at_once_take_turns(services: Services) -> None:
    both = [services.start("prepare"), services.start("prepare")]

    assert [child.wait() for child in both] == [0, 0], "".join(child.output for child in both)
    assert "".join(child.output for child in both).count("(shown once)") == 2  # one password, one key


@pytest.mark.processes
def test_the_server_gets_ready(services: Services) -> None:
    services.start("server")
    check = services.definition["server"]["healthcheck"]["test"]
    assert check[:3] == ["CMD", "python", "-c"]
    address = check[3].split("'")[1].replace("4200", str(services.port))

    def ready() -> bool:
        try:
            with urllib.request.urlopen(address, timeout=3) as answer:
                return json.load(answer) == {"status": "ready"}
        except OSError:
            return False

    wait_until(ready)


@pytest.mark.processes
@pytest.mark.parametrize(("name", "sign"), [("scheduler", "Scheduler started"), ("agent", "serves")])
def test_the_other_processes_start(services: Services, name: str, sign: str) -> None:
    process = services.start(name)

    process.wait_for(sign)

    assert process.is_alive


@pytest.mark.processes
def test_a_flow_runs_on_them(services: Services) -> None:
    (services.stack.folder / "hello.py").write_text(
        "from flows import flow\n@flow\ndef hello(name: str) -> None:\n    print('hello', name)\n"
    )
    for name in ("scheduler", "agent"):
        services.start(name)
    deployed = services.stack.run("deploy", "hello.py:hello", "--name", "here")
    assert deployed.returncode == 0, deployed.stderr

    result = services.stack.run("runflow", "hello/here", "--param", "name=you", "--watch")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "Completed" in result.stdout


def test_the_image_starts_manage_py_as_an_ordinary_user() -> None:
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    instructions = dict(line.split(" ", 1) for line in lines if line and not line.startswith(" "))

    assert instructions["USER"] == "portal"
    assert json.loads(instructions["ENTRYPOINT"]) == ["python", "/app/manage.py"]


def test_the_image_has_every_package() -> None:
    copied = {
        word
        for line in (PROJECT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY")
        for word in shlex.split(line)[1:-1]
    }
    packages = {p.parent.name for p in Path(PROJECT).glob("*/__init__.py")} - {"tests"}

    assert packages <= copied


@pytest.mark.processes
@pytest.mark.parametrize("name", ["scheduler", "agent"])
def test_the_other_processes_are_healthy_while_they_work(services: Services, name: str) -> None:
    python, manage, *check = services.definition[name]["healthcheck"]["test"][1:]
    assert (python, manage) == ("python", "/app/manage.py")

    def asked() -> "subprocess.CompletedProcess[str]":
        return services.stack.run(*check, env=services.environment(name))

    assert asked().returncode == 1
    process = services.start(name)
    wait_until(lambda: asked().returncode == 0, 30, what="it is healthy")
    process.signal(signal.SIGTERM)
    process.wait()
    if name == "agent":  # a scheduler's silence is noticed after 20 s, as is that of an agent that was killed
        stopped = asked()
        assert stopped.returncode == 1
        assert "has stopped." in stopped.stderr
