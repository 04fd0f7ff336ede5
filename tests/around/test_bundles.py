"""Bundles and versions: any agent runs exactly the code that was deployed, and a rollback brings it back."""

import io
import os
import tarfile
from base64 import b64encode
from datetime import timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from agents.services.housekeeping import keep_house
from flows.catalog.versions import NoSuchVersionError, remove_unused_bundles, roll_back
from flows.deployments import SourceError
from flows.models import Bundle, Deployment, Workspace
from flows.sdk import bundles
from flows.sdk.bundles import packed, unpacked
from flows.sdk.flows import Flow
from portal.api.base import parsers
from runs.create import create_flow_run
from tests.around.conftest import Around
from tests.portal.fixtures import Caller, deployment_in

CODE = """
from pathlib import Path
from flows import flow

@flow
def hello(folder: str):
    Path(folder, "said").write_text("one")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with code, and things that do not belong to it."""
    monkeypatch.setenv("PORTAL_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    for name in (".git", "data", "lib", "lib/__pycache__"):
        (folder / name).mkdir(parents=True)
    for name in (".git/HEAD", "data/large.csv", "lib/part.py", "lib/__pycache__/x.pyc", "notes.tmp"):
        (folder / name).write_text(name)
    (folder / "hello.py").write_text(CODE)
    (folder / ".gitignore").write_text("# made by us\ndata/\n*.tmp\n")
    monkeypatch.chdir(folder)
    return folder


def names_in(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return sorted(tar.getnames())


def test_a_bundle_holds_the_code_and_nothing_that_is_ignored(project: Path) -> None:
    assert names_in(packed(project)) == [".gitignore", "hello.py", "lib/part.py"]


def test_the_same_content_gives_the_same_bundle(project: Path) -> None:
    first = packed(project)
    os.utime(project / "hello.py", (1, 1))

    assert packed(project) == first
    (project / "hello.py").write_text(CODE + "\n")
    assert packed(project) != first


def test_a_link_that_leads_out_is_refused(project: Path) -> None:
    (project / "passwords").symlink_to("/etc/passwd")

    with pytest.raises(SourceError, match="leads out of"):
        packed(project)


def test_a_folder_that_is_too_large_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MOST_BYTES", 100)
    (project / "noise.bin").write_bytes(os.urandom(100_000))

    with pytest.raises(SourceError, match=r"too large.*\.portalignore"):
        packed(project)


class Shelf:
    """A Portal that answers with this bundle."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def get(self, path: str, **query: object) -> dict[str, str]:
        return {"content": b64encode(self.data).decode()}

    def post(self, path: str, body: object) -> None: ...


def evil(name: str, link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        if link:
            entry.type, entry.linkname = tarfile.SYMTYPE, link
        tar.addfile(entry)
    return buffer.getvalue()


@pytest.mark.parametrize("data", [evil("../out"), evil("link", "/etc/passwd")], ids=["path", "link"])
def test_an_evil_bundle_writes_nothing_outside(
    data: bytes, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles.portal, "needed", lambda what: Shelf(data))

    with pytest.raises(SourceError, match="cannot be unpacked"):
        unpacked(f"bundle:{sha256(data).hexdigest()}")
    assert [*Path(project.parent, "cache/bundles").iterdir()] == []


def test_a_bundle_that_is_not_what_its_hash_says_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles.portal, "needed", lambda what: Shelf(b"something else"))

    with pytest.raises(SourceError, match="something else"):
        unpacked("bundle:" + "0" * 64)
    with pytest.raises(SourceError, match="no bundle"):
        unpacked("bundle:../../etc")


def test_deploy_stores_the_folder(weather: Deployment, project: Path) -> None:
    flow = Flow.from_source(project, "hello.py:hello")

    flow.deploy("stored", bundle=True)
    flow.deploy("stored", bundle=True)

    bundle = Bundle.objects.get()
    deployment = Deployment.objects.get(name="stored")
    assert deployment.path == f"bundle:{bundle.sha256}" and deployment.version_number == 1
    assert Path(unpacked(deployment.path), "hello.py").read_text() == CODE


def test_bundles_are_scoped_and_checked(
    editor: Caller, operator: Caller, viewer: Caller, foreigner: Caller
) -> None:
    digest = sha256(b"code").hexdigest()
    body = {"sha256": digest, "content": b64encode(b"code").decode()}

    assert operator.post("/api/bundles/", body).status_code == 403
    assert editor.post("/api/bundles/", {**body, "sha256": "0" * 64}).status_code == 422
    assert editor.post("/api/bundles/", {**body, "content": "%"}).status_code == 422
    assert [editor.post("/api/bundles/", body).status_code for _ in range(2)] == [201, 200]
    assert operator.get(f"/api/bundles/{digest}").json()["content"] == body["content"]
    assert viewer.get(f"/api/bundles/{digest}").status_code == 403
    assert foreigner.get(f"/api/bundles/{digest}").status_code == 404


def test_a_bundle_may_be_larger_than_other_bodies(editor: Caller) -> None:
    data = b"x" * 2 * parsers.MAX_BODY
    body = {"sha256": sha256(data).hexdigest(), "content": b64encode(data).decode()}

    assert editor.post("/api/bundles/", body).status_code == 201
    assert editor.get(f"/api/bundles/{body['sha256']}").json()["content"] == body["content"]
    larger = b64encode(b"x" * (bundles.MOST_BYTES + 8192)).decode()
    assert editor.post("/api/bundles/", {"sha256": "0" * 64, "content": larger}).status_code == 413


def test_a_bundle_is_kept_as_long_as_a_version_refers_to_it(editor: Caller) -> None:
    workspace = Workspace.objects.get(name="default")

    def stored(name: str) -> str:
        digest = sha256(name.encode()).hexdigest()
        editor.post("/api/bundles/", {"sha256": digest, "content": b64encode(name.encode()).decode()})
        return f"bundle:{digest}"

    for name in ("first", "second"):
        deployment = deployment_in(workspace, path=stored(name))
    stored("never deployed")
    assert deployment.version_number == 2
    tomorrow = now() + timedelta(days=1)

    remove_unused_bundles(now() - timedelta(days=1))
    assert Bundle.objects.count() == 3  # too young
    remove_unused_bundles(tomorrow)
    assert sorted(bytes(each.data) for each in Bundle.objects.all()) == [b"first", b"second"]
    deployment.delete()
    keep_house(tomorrow + timedelta(seconds=1))
    assert Bundle.objects.count() == 0


def test_each_change_is_a_version_and_a_rollback_brings_it_back(editor: Caller, viewer: Caller) -> None:
    workspace = Workspace.objects.get(name="default")
    for city in ("Seattle", "Seattle", "Aberdeen"):
        deployment = deployment_in(workspace, parameters={"city": city})
    path = f"/api/deployments/{deployment.id}"

    versions = viewer.get(f"{path}/versions").json()
    assert [(each["number"], each["values"]["parameters"]) for each in versions] == [
        (2, {"city": "Aberdeen"}),
        (1, {"city": "Seattle"}),
    ]
    assert viewer.post(f"{path}/rollback", {"number": 1}).status_code == 403
    back = editor.post(f"{path}/rollback", {"number": 1}).json()
    assert (back["version_number"], back["parameters"]) == (1, {"city": "Seattle"})
    refused = editor.post(f"{path}/rollback", {"number": 7})
    assert refused.status_code == 409 and "the newest are: 2, 1" in refused.json()["detail"]
    with pytest.raises(NoSuchVersionError):
        roll_back(deployment.id, 7)

    newer = deployment_in(workspace, parameters={"city": "Rome"})
    assert newer.version_number == 3
    assert deployment_in(workspace, parameters={"city": "Rome"}).version_number == 3


def manage(*arguments: str) -> str:
    out = StringIO()
    call_command("deploy", "hello.py:hello", "--name", "prod", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_command_stores_lists_and_rolls_back(project: Path) -> None:
    manage("--bundle")
    manage()

    assert manage("--list-versions").split()[:2] == ["*", "2"]
    assert "Deployed hello/prod" in manage("--rollback", "1")
    assert Deployment.objects.get().path.startswith("bundle:")
    with pytest.raises(CommandError, match="no version 9"):
        manage("--rollback", "9")


@pytest.mark.processes
def test_agents_run_the_version_that_is_deployed(
    around: Around, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around.serve()
    monkeypatch.setenv("PORTAL_API_URL", around.url)
    monkeypatch.setenv("PORTAL_API_KEY", around.key)
    around.agent(PORTAL_CACHE_DIR=str(tmp_path / "agent-cache"))
    Flow.from_source(project, "hello.py:hello").deploy("prod", bundle=True)
    (project / "hello.py").write_text(CODE.replace("one", "two"))
    Flow.from_source(project, "hello.py:hello").deploy("prod", bundle=True)
    (project / "hello.py").unlink()
    deployment = Deployment.objects.get(name="prod")

    assert said_by(around, deployment, tmp_path) == ("two", 2)
    roll_back(deployment.id, 1)
    assert said_by(around, deployment, tmp_path) == ("one", 1)


def said_by(around: Around, deployment: Deployment, folder: Path) -> tuple[str, int | None]:
    run = around.ended(create_flow_run(deployment, parameters={"folder": str(folder)}))
    assert run.state_type == "COMPLETED", run.state_message
    return (folder / "said").read_text(), run.deployment_version
