"""Concurrency limits as Prefect's clients make them and take their slots."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils.timezone import now

from runs.models import ConcurrencyLimit, FlowRun, Slot, Waiter
from tests.factories import make_run
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db
LIMITS = "/api/v2/concurrency_limits/"


def make(caller: Caller, name: str = "gcl-a", limit: int = 2, **body: Any) -> dict[str, Any]:
    answer = caller.post(LIMITS, {"name": name, "limit": limit, "active_slots": 0, **body})
    assert answer.status_code == 201, answer.json()
    made: dict[str, Any] = answer.json()
    return made


def take(caller: Caller, *names: str, slots: int = 1, **body: Any) -> Any:
    wanted = {"names": list(names), "slots": slots, "mode": "concurrency", "lease_duration": 60, **body}
    return caller.post(f"{LIMITS}increment-with-lease", wanted)


def give_back(caller: Caller, lease_id: str) -> int:
    answer = caller.post(f"{LIMITS}decrement-with-lease", {"lease_id": lease_id})
    return int(answer.status_code)


def renew(caller: Caller, lease_id: Any) -> int:
    return int(caller.post(f"{LIMITS}leases/{lease_id}/renew", {"lease_duration": 300}).status_code)


def test_a_limit_is_known_by_id_and_name(editor: Caller) -> None:
    made = make(editor, slot_decay_per_second=0.0)

    assert (made["limit"], made["active"], made["active_slots"]) == (2, True, 0)
    for known_as in (made["id"], "gcl-a"):
        assert editor.get(f"{LIMITS}{known_as}").json() == made
    assert editor.get(f"{LIMITS}nope").status_code == 404
    assert editor.post(f"{LIMITS}filter", {"limit": 100, "offset": 0}).json() == [made]


def test_a_limit_is_changed_and_removed(editor: Caller) -> None:
    make(editor)

    assert editor.patch(f"{LIMITS}gcl-a", {"active": False, "limit": None}).status_code == 204
    assert editor.patch(f"{LIMITS}gcl-a", {"limit": 3}).status_code == 204
    limit = editor.get(f"{LIMITS}gcl-a").json()
    assert (limit["active"], limit["limit"]) == (False, 3)
    assert editor.delete(f"{LIMITS}gcl-a").status_code == 204
    assert editor.delete(f"{LIMITS}gcl-a").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "gcl-a", "limit": 1}, 409), ({"name": "", "limit": 1}, 422), ({"name": "b"}, 422),
        ({"name": "b", "limit": -1}, 422), ({"name": "b", "limit": 1, "slot_decay_per_second": -1}, 422),
        ({"name": "x" * 300, "limit": 1}, 422), ([1], 422),
    ],
)  # fmt: skip
def test_limits_that_cannot_be_made(editor: Caller, body: Any, status: int) -> None:
    make(editor)

    assert editor.post(LIMITS, body).status_code == status


def test_a_name_is_not_taken_from_another(editor: Caller) -> None:
    make(editor)
    make(editor, "b")

    assert editor.patch(f"{LIMITS}b", {"name": "gcl-a"}).status_code == 409


def test_viewers_and_strangers(viewer: Caller, foreigner: Caller, editor: Caller) -> None:
    make(editor)

    assert viewer.get(f"{LIMITS}gcl-a").status_code == 200
    assert viewer.patch(f"{LIMITS}gcl-a", {"limit": 1}).status_code == 403
    assert take(viewer, "gcl-a").status_code == 403
    assert foreigner.get(f"{LIMITS}gcl-a").status_code == 404
    assert foreigner.post(f"{LIMITS}filter", {}).json() == []
    lease_id = take(editor, "gcl-a").json()["lease_id"]
    assert give_back(foreigner, lease_id) == 204
    assert renew(foreigner, lease_id) == 410
    assert Slot.objects.count() == 1, "it is still held"


def test_slots_are_held_until_they_are_given_back(operator: Caller, editor: Caller) -> None:
    made = make(editor)
    answer = take(operator, "gcl-a", slots=2)

    assert answer.status_code == 200
    assert answer.json()["limits"] == [{"id": made["id"], "name": "gcl-a", "limit": 2, "active": True}]
    assert editor.get(f"{LIMITS}gcl-a").json()["active_slots"] == 2
    lease_id = answer.json()["lease_id"]
    assert renew(operator, lease_id) == 204
    assert give_back(operator, lease_id) == 204
    assert give_back(operator, lease_id) == 204, "as often as one likes"
    assert renew(operator, lease_id) == 410
    assert editor.get(f"{LIMITS}gcl-a").json()["active_slots"] == 0


def test_a_full_limit_says_when_to_ask_again(operator: Caller, editor: Caller) -> None:
    make(editor, limit=1)
    lease_id = take(operator, "gcl-a").json()["lease_id"]

    locked = take(operator, "gcl-a")

    assert (locked.status_code, locked.json()) == (423, {"detail": "Locked"})
    assert float(locked["Retry-After"]) > 0
    assert not Waiter.objects.exists(), "it comes back under another name, and would wait for itself"
    give_back(operator, lease_id)
    assert take(operator, "gcl-a").status_code == 200


def test_a_task_run_that_repeats_its_request_has_one_lease(operator: Caller, editor: Caller) -> None:
    """Its answer was lost: Prefect's client sends the very same request again."""
    make(editor, name="tag:db", limit=2)
    holder = {"type": "task_run", "id": str(uuid4())}

    first, again = (take(operator, "tag:db", holder=holder) for _ in range(2))
    other = take(operator, "tag:db", holder={"type": "task_run", "id": str(uuid4())})

    assert first.json()["lease_id"] == again.json()["lease_id"] != other.json()["lease_id"]
    assert Slot.objects.count() == 2


def test_a_task_run_is_given_anew_what_ran_out(operator: Caller, editor: Caller) -> None:
    make(editor, name="tag:db", limit=1)
    holder = {"type": "task_run", "id": str(uuid4())}
    take(operator, "tag:db", holder=holder)
    Slot.objects.update(expires=now() - timedelta(seconds=1))

    assert take(operator, "tag:db", holder=holder).status_code == 200
    assert Slot.objects.get().expires > now()


def test_others_may_hold_the_same_limit_as_often_as_they_ask(operator: Caller, editor: Caller) -> None:
    make(editor, limit=2)
    holder = {"type": "task_run", "id": str(uuid4())}

    leases = {take(operator, "gcl-a", holder=holder).json()["lease_id"] for _ in range(2)}

    assert len(leases) == 2


def test_names_without_a_limit_hold_nobody_back(operator: Caller, editor: Caller) -> None:
    holder = {"type": "task_run", "id": str(uuid4())}

    answer = take(operator, "tag:t1", "tag:t2", holder=holder)

    assert answer.status_code == 200
    assert answer.json()["limits"] == []
    lease_id = UUID(answer.json()["lease_id"])
    assert renew(operator, lease_id) == 204, "nothing can be lost"
    assert give_back(operator, str(lease_id)) == 204


def test_a_limit_that_is_switched_off_holds_nobody_back(operator: Caller, editor: Caller) -> None:
    make(editor, limit=1, active=False)

    leases = [take(operator, "gcl-a").json()["lease_id"] for _ in range(3)]

    assert [renew(operator, lease_id) for lease_id in leases] == [204, 204, 204]


@pytest.mark.parametrize(
    "body",
    [
        {"names": ["gcl-a"], "slots": 3}, {"names": [], "slots": 1}, {"names": ["gcl-a"], "slots": 0},
        {"names": ["gcl-a"]}, {"names": ["gcl-a"], "slots": 1, "mode": "maybe"},
        {"names": ["gcl-a"], "slots": 1, "lease_duration": 1e9},
        {"names": ["gcl-a"], "slots": 1, "holder": {"type": "cat", "id": str(uuid4())}},
        {"names": ["gcl-a"], "slots": 1, "mode": "rate_limit"},
    ],
)  # fmt: skip
def test_what_can_never_be_had(operator: Caller, editor: Caller, body: dict[str, Any]) -> None:
    make(editor)

    assert operator.post(f"{LIMITS}increment-with-lease", body).status_code == 422


def test_a_rate_frees_itself(operator: Caller, editor: Caller) -> None:
    made = make(editor, "rate-a", limit=1, slot_decay_per_second=0.01)
    body = {"names": ["rate-a"], "slots": 1, "mode": "rate_limit"}

    first, second = (operator.post(f"{LIMITS}increment", body) for _ in range(2))

    assert first.status_code == 200
    assert [each["id"] for each in first.json()] == [made["id"]]
    assert second.status_code == 423
    assert 0 < float(second["Retry-After"]) <= 100
    assert operator.post(f"{LIMITS}increment", {**body, "mode": "concurrency"}).status_code == 422


def test_slots_of_a_flow_run_are_free_when_it_is_over(operator: Caller, editor: Caller) -> None:
    make(editor, limit=1)
    run = make_run()
    FlowRun.objects.update(state_type="RUNNING")
    take(operator, "gcl-a", holder={"type": "flow_run", "id": str(run.id)})
    assert take(operator, "gcl-a").status_code == 423

    FlowRun.objects.update(state_type="COMPLETED")

    assert take(operator, "gcl-a").status_code == 200


def test_tags_have_limits_of_their_own(operator: Caller, editor: Caller) -> None:
    path = "/api/concurrency_limits/"
    made = editor.post(path, {"tag": "limited", "concurrency_limit": 1})
    again = editor.post(path, {"tag": "limited", "concurrency_limit": 1})
    task_run_id = str(uuid4())
    take(operator, "tag:limited", holder={"type": "task_run", "id": task_run_id})

    assert (made.status_code, again.status_code) == (201, 200)
    assert {name: made.json()[name] for name in ("tag", "concurrency_limit", "active_slots")} == {
        "tag": "limited", "concurrency_limit": 1, "active_slots": [],
    }  # fmt: skip
    shown = editor.get(f"{path}tag/limited").json()
    assert shown["active_slots"] == [task_run_id]
    assert editor.post(f"{path}filter", {"limit": 15, "offset": 0}).json() == [shown]
    assert editor.get(f"{LIMITS}tag:limited").json()["active_slots"] == 1
    assert editor.post(f"{path}tag/limited/reset", {"slot_override": None}).status_code == 200
    assert editor.get(f"{path}tag/limited").json()["active_slots"] == []
    assert editor.delete(f"{path}tag/limited").status_code == 200
    assert editor.get(f"{path}tag/limited").status_code == 404


def test_portals_own_limits_are_no_tags(editor: Caller, viewer: Caller) -> None:
    path = "/api/concurrency_limits/"
    assert editor.post(path, {"name": "database", "limit": 2}).status_code == 201

    assert editor.post(f"{path}filter", {}).json() == []
    assert editor.post(path, {"tag": "x"}).status_code == 422
    assert viewer.post(path, {"tag": "x", "concurrency_limit": 1}).status_code == 403
    assert ConcurrencyLimit.objects.count() == 1


def test_variables_are_listed(editor: Caller) -> None:
    for name, tags in (("b", []), ("a", ["t"])):
        assert editor.post("/api/variables/", {"name": name, "value": 1, "tags": tags}).status_code == 201

    def names(**body: Any) -> list[str]:
        return [each["name"] for each in editor.post("/api/variables/filter", body).json()]

    assert names(limit=100) == ["a", "b"]
    assert names(variables={"tags": {"all_": ["t"]}}) == ["a"]
    assert editor.post("/api/variables/count").json() == 2
    assert editor.post("/api/variables/", {"name": "a", "value": 1}).status_code == 409
    assert editor.post("/api/variables/", {"name": "Bad Name", "value": 1}).status_code == 422


def test_a_queue_tells_of_its_health(editor: Caller) -> None:
    editor.post("/api/work_pools/", {"name": "px", "type": "process"})
    queue = editor.post("/api/work_pools/px/queues", {"name": "hi"}).json()
    path = f"/api/work_queues/{queue['id']}"

    before = editor.get(f"{path}/status").json()
    runs = editor.post(f"{path}/get_runs", {"limit": 10, "scheduled_before": None})
    after = editor.get(f"{path}/status").json()

    assert (before["healthy"], before["late_runs_count"], before["last_polled"]) == (False, 0, None)
    assert (runs.status_code, runs.json()) == (200, [])
    assert (after["healthy"], after["health_check_policy"]["maximum_seconds_since_last_polled"]) == (True, 60)
    assert [each["name"] for each in editor.post("/api/work_queues/filter", {"limit": None}).json()] == [
        "default", "hi",
    ]  # fmt: skip
