"""Who sees and may do what in the admin: workspaces and roles, not Django's permissions."""

from collections.abc import Callable

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from agents.models import WorkPool
from flows.models import Deployment, Membership, Workspace
from portal.access.models import ApiToken
from portal.access.tokens import create_token
from runs.models import FlowRun
from tests.factories import make_queue, make_run

pytestmark = pytest.mark.django_db
Member = Callable[[str], Client]
LISTS = [
    "/admin/", "/admin/runs/flowrun/", "/admin/flows/deployment/", "/admin/flows/flow/",
    "/admin/agents/workpool/", "/admin/portal/apitoken/", "/admin/flows/workspace/",
]  # fmt: skip


def page_of(deployment: Deployment) -> str:
    return f"/admin/flows/deployment/{deployment.id}/change/"


@pytest.mark.parametrize("url", LISTS)
def test_lists_name_nothing_of_another_workspace(outsider: Client, deployment: Deployment, url: str) -> None:
    make_run(deployment, name="spry-anteater")
    make_queue(pool="secret-pool")
    page = outsider.get(url).content.decode()

    for name in ("weather-report", "seattle", "spry-anteater", "secret-pool"):
        assert name not in page


def test_pages_of_another_workspace_are_not_there(outsider: Client, deployment: Deployment) -> None:
    run = make_run(deployment)
    pool = WorkPool.objects.get()

    for url in (
        page_of(deployment), f"/admin/flows/flow/{deployment.flow_id}/change/",
        f"/admin/agents/workpool/{pool.id}/change/", f"/admin/flows/deployment/{deployment.id}/delete/",
        f"/admin/flows/deployment/{deployment.id}/history/", f"/admin/runs/flowrun/{run.id}/delete/",
    ):  # fmt: skip
        assert outsider.get(url).status_code in (302, 403), url
    assert outsider.get(f"/admin/flows/deployment/{deployment.id}/run/").status_code == 404
    assert outsider.get(f"/admin/runs/flowrun/{run.id}/").status_code == 404


def test_viewers_look_and_change_nothing(member: Member, deployment: Deployment) -> None:
    viewer = member("viewer")

    assert viewer.get(page_of(deployment)).status_code == 200
    assert viewer.post(page_of(deployment), {"description": "mine"}).status_code == 403
    assert viewer.post(f"/admin/flows/deployment/{deployment.id}/run/", {}).status_code == 403
    assert viewer.get("/admin/agents/workpool/add/").status_code == 403
    assert FlowRun.objects.count() == 0


def test_editors_pause(member: Member, deployment: Deployment) -> None:
    editor = member("editor")
    data = {
        "work_queue": deployment.work_queue_id, "parameters": "{}", "tags": "a,b", "paused": "on",
    }  # fmt: skip

    assert editor.post(page_of(deployment), data).status_code == 302

    deployment.refresh_from_db()
    assert (deployment.paused, deployment.tags) == (True, ["a", "b"])


def test_an_edit_makes_a_version_as_deploying_does(superuser: Client, deployment: Deployment) -> None:
    data = {
        "work_queue": deployment.work_queue_id, "parameters": '{"year": 1962}', "tags": "",
        "schedules-TOTAL_FORMS": 0, "schedules-INITIAL_FORMS": 0,
    }  # fmt: skip

    superuser.post(page_of(deployment), data)
    superuser.post(page_of(deployment), {**data, "paused": "on"})  # a switch, not a version

    deployment.refresh_from_db()
    assert deployment.version_number == deployment.versions.count() == 2
    assert deployment.versions.get(number=2).values["parameters"] == {"year": 1962}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"parameters": '{"year": 3000}'}, "year: 3000 is greater than the maximum of 2100"),
        ({"parameters": '{"yaer": 1962}'}, "there is no such parameter"),
        ({"parameters": "[]", "tags": "x"}, "Write an object"),
    ],
)
def test_what_the_api_would_refuse_is_refused(
    superuser: Client, deployment: Deployment, wrong: dict[str, str], text: str
) -> None:
    data = {
        "work_queue": deployment.work_queue_id, "parameters": "{}", "tags": "",
    }  # fmt: skip

    answer = superuser.post(page_of(deployment), {**data, **wrong})

    assert text in answer.content.decode()


def test_a_queue_of_another_workspace_cannot_be_chosen(
    superuser: Client, deployment: Deployment, elsewhere: Workspace
) -> None:
    other = make_queue(workspace=elsewhere)
    data = {"work_queue": other.id, "parameters": "{}"}

    assert "Select a valid choice" in superuser.post(page_of(deployment), data).content.decode()


def test_a_pool_is_not_made_where_one_only_looks(member: Member, elsewhere: Workspace) -> None:
    editor = member("editor")
    user = get_user_model().objects.get(username="editor-default")
    Membership.objects.create(user=user, workspace=elsewhere, role="viewer")
    data = {
        "workspace": elsewhere.id, "name": "mine", "type": "agents",
        "queues-TOTAL_FORMS": 0, "queues-INITIAL_FORMS": 0,
    }  # fmt: skip

    assert "Select a valid choice" in editor.post("/admin/agents/workpool/add/", data).content.decode()


def test_editors_do_not_change_roles(member: Member, workspace: Workspace) -> None:
    url = f"/admin/flows/workspace/{workspace.id}/change/"

    assert member("editor").post(url, {"name": "mine"}).status_code == 403
    assert member("admin").get(url).status_code == 200


def test_runs_are_facts(superuser: Client, member: Member, deployment: Deployment) -> None:
    run = make_run(deployment)
    delete = f"/admin/runs/flowrun/{run.id}/delete/"

    assert superuser.get("/admin/runs/flowrun/add/").status_code == 403
    assert superuser.post(delete, {"post": "yes"}).status_code == 403, "it has not ended"
    FlowRun.objects.update(state_type="COMPLETED")
    assert member("admin").post(delete, {"post": "yes"}).status_code == 403
    assert superuser.post(delete, {"post": "yes"}).status_code == 302
    assert not FlowRun.objects.exists()


def test_tokens_are_revoked_here(superuser: Client, workspace: Workspace) -> None:
    token, _ = create_token(get_user_model().objects.get(username="root"), workspace)

    superuser.post("/admin/portal/apitoken/", {"action": "revoke", "_selected_action": token.pk})

    assert ApiToken.objects.get().revoked is not None


def test_users_are_for_superusers(member: Member) -> None:
    assert member("admin").get("/admin/auth/user/").status_code == 403


def test_a_login_without_staff_is_not_let_in(client: Client, db: None) -> None:
    client.force_login(get_user_model().objects.create_user("customer"))

    assert client.get("/admin/")["Location"].startswith("/admin/login/")


def test_the_root_leads_to_the_dashboard(client: Client) -> None:
    assert client.get("/")["Location"] == "/admin/"


def test_deleting_a_deployment_cancels_what_waits_for_it(member: Member, deployment: Deployment) -> None:
    waiting = make_run(deployment)

    answer = member("editor").post(f"/admin/flows/deployment/{deployment.id}/delete/", {"post": "yes"})

    assert answer.status_code == 302
    waiting.refresh_from_db()
    assert (waiting.state_type, waiting.deployment_id) == ("CANCELLED", None)


def test_a_flow_with_history_stays(member: Member, deployment: Deployment) -> None:
    delete = f"/admin/flows/flow/{deployment.flow_id}/delete/"
    editor, run = member("editor"), make_run(deployment)

    assert editor.post(delete, {"post": "yes"}).status_code == 403
    run.delete()
    assert editor.post(delete, {"post": "yes"}).status_code == 302
