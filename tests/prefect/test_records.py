"""Logs, task runs, events and artifacts over HTTP, in the shapes of Prefect's clients."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from flows.models import Deployment
from runs.client_reports import record_task_states
from runs.create import create_flow_run
from runs.models import Artifact, Event, FlowRun, Log, TaskRun
from runs.session import DjangoSession
from tests.factories import lease
from tests.portal.fixtures import Caller
from tests.prefect.runs import prefect_run
from tests.prefect.sockets import event, task_event

pytestmark = pytest.mark.django_db
NewRun = Callable[..., FlowRun]


@pytest.fixture
def new_run(deployment: Deployment) -> NewRun:
    """Makes a run of `deployment` that a Prefect client executes."""
    return lambda: prefect_run(create_flow_run(deployment, parameters={"year": 1962}))


def line(run: FlowRun | None, message: str = "hello", **fields: Any) -> dict[str, Any]:
    return {
        "name": "prefect.flow_runs",
        "level": 20,
        "message": message,
        "timestamp": datetime.now(UTC).isoformat(),
        "flow_run_id": str(run.id) if run else None,
        "task_run_id": None,
        **fields,
    }


def new_task_run(run: FlowRun, **fields: Any) -> dict[str, Any]:
    return {
        "name": "child-0",
        "flow_run_id": str(run.id),
        "task_key": "child-1c5a434b",
        "dynamic_key": "0",
        "cache_key": None,
        "empirical_policy": {"retries": 0},
        "tags": ["t1"],
        "task_inputs": {"v": []},
        "state": {"type": "PENDING", "name": "Pending", "message": None, "state_details": {}, "data": None},
        **fields,
    }


def messages(caller: Caller, **filter: Any) -> list[str]:
    answer = caller.post("/api/logs/filter", {"logs": filter, "limit": None, "sort": "TIMESTAMP_ASC"})
    assert answer.status_code == 200, answer.content
    return [each["message"] for each in answer.json()]


class TestLogs:
    def test_lines_are_stored_and_found(self, operator: Caller, new_run: NewRun) -> None:
        run, task_run_id = new_run(), str(uuid4())
        lines = [line(run, "first"), line(run, "of a task", task_run_id=task_run_id, level=40)]

        assert operator.post("/api/logs/", lines).status_code == 201

        ids = {"any_": [str(run.id)]}
        assert messages(operator, flow_run_id=ids) == ["first", "of a task"]
        assert messages(operator, flow_run_id=ids, level={"ge_": 30}) == ["of a task"]
        assert messages(operator, flow_run_id=ids, task_run_id={"any_": [task_run_id]}) == ["of a task"]

    def test_a_line_with_a_nul_costs_no_other(self, operator: Caller, new_run: NewRun) -> None:
        run = new_run()

        operator.post("/api/logs/", [line(run, "odd \0 text"), line(run, "next")])

        assert sorted(Log.objects.values_list("message", flat=True)) == ["next", "odd \ufffd text"]

    def test_lines_of_runs_that_are_not_theirs_are_dropped(
        self, foreigner: Caller, operator: Caller, new_run: NewRun
    ) -> None:
        run, owned = new_run(), lease(new_run())

        assert foreigner.post("/api/logs/", [line(run)]).status_code == 201
        assert operator.post("/api/logs/", [line(owned), line(None)]).status_code == 201

        assert not Log.objects.exists()

    def test_lines_of_a_task_outside_of_flows_are_kept(self, operator: Caller) -> None:
        task_run_id = uuid4()

        operator.post("/api/logs/", [line(None, task_run_id=str(task_run_id))])

        assert Log.objects.get().task_run_id == task_run_id

    def test_bad_lines_are_told_of(self, operator: Caller) -> None:
        for body in ({}, [7], [{"message": "no time"}]):
            assert operator.post("/api/logs/", body).status_code == 422


class TestTaskRuns:
    def test_a_subflows_stand_in_is_made_once(self, operator: Caller, new_run: NewRun) -> None:
        run = new_run()

        first = operator.post("/api/task_runs/", new_task_run(run))
        again = operator.post("/api/task_runs/", new_task_run(run))

        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["id"] == again.json()["id"]
        shown = first.json()
        assert shown["state"]["type"] == "PENDING"
        assert shown["state"]["state_details"] == {"flow_run_id": str(run.id), "task_run_id": shown["id"]}
        assert shown["empirical_policy"] == {"retries": 0}

    def test_a_task_run_says_how_long_it_ran(self, operator: Caller, new_run: NewRun) -> None:
        made = operator.post("/api/task_runs/", new_task_run(new_run())).json()
        at = datetime.now(UTC) - timedelta(minutes=1)
        TaskRun.objects.filter(id=made["id"]).update(
            state_type="RUNNING", state_timestamp=at, start_time=at, created=at - timedelta(seconds=5)
        )

        shown = operator.get(f"/api/task_runs/{made['id']}").json()

        assert datetime.fromisoformat(shown["updated"]) == at
        assert shown["estimated_run_time"] >= 60
        assert shown["estimated_start_time_delta"] == 5

    def test_an_id_of_the_client_is_kept(self, operator: Caller, new_run: NewRun) -> None:
        run, id = new_run(), str(uuid4())

        made = operator.post("/api/task_runs/", new_task_run(run, id=id))
        again = operator.post("/api/task_runs/", new_task_run(run, id=id))

        assert (made.json()["id"], made.status_code, again.status_code) == (id, 201, 200)

    def test_what_is_not_known_yet_is_404(self, viewer: Caller) -> None:
        assert viewer.get(f"/api/task_runs/{uuid4()}").status_code == 404

    def test_runs_of_agents_and_of_others_are_refused(
        self, operator: Caller, foreigner: Caller, new_run: NewRun
    ) -> None:
        assert operator.post("/api/task_runs/", new_task_run(lease(new_run()))).status_code == 409
        assert foreigner.post("/api/task_runs/", new_task_run(new_run())).status_code == 409

    def test_a_task_run_enters_the_states_it_is_told_to(self, operator: Caller, new_run: NewRun) -> None:
        id = operator.post("/api/task_runs/", new_task_run(new_run())).json()["id"]

        for type in ("RUNNING", "COMPLETED"):
            body = {"state": {"type": type, "data": {"type": "reference"}}}
            answer = operator.post(f"/api/task_runs/{id}/set_state", body)
            assert (answer.json()["status"], answer.json()["state"]["name"]) == ("ACCEPT", type.capitalize())

        shown = operator.get(f"/api/task_runs/{id}").json()
        assert shown["run_count"] == 1
        assert shown["end_time"]
        assert shown["state"]["data"] == {"type": "reference"}
        states = operator.get("/api/task_run_states/", task_run_id=id).json()
        assert [state["type"] for state in states] == ["PENDING", "RUNNING", "COMPLETED"]

    def test_an_agents_task_run_is_not_set(self, operator: Caller, new_run: NewRun) -> None:
        run, now = new_run(), datetime.now(UTC)
        task_run = TaskRun.objects.create(
            flow_run=run, task_key="t", dynamic_key="0", name="t-0", created=now, state_type="RUNNING",
            state_name="Running", state_timestamp=now, attempt=1,
        )  # fmt: skip

        answer = operator.post(f"/api/task_runs/{task_run.id}/set_state", {"state": {"type": "FAILED"}})

        assert answer.status_code == 409
        task_run.refresh_from_db()
        assert task_run.state_type == "RUNNING"

    def test_filters(self, operator: Caller, foreigner: Caller, new_run: NewRun) -> None:
        run, other = new_run(), new_run()
        for each, key in ((run, "0"), (run, "1"), (other, "0")):
            operator.post("/api/task_runs/", new_task_run(each, dynamic_key=key, name=f"child-{key}"))
        of_run = {"flow_runs": {"id": {"any_": [str(run.id)]}}, "task_runs": None, "sort": "NAME_ASC"}

        found = operator.post("/api/task_runs/filter", of_run).json()

        assert [each["name"] for each in found] == ["child-0", "child-1"]
        assert operator.post("/api/task_runs/count", of_run).json() == 2
        none = {"task_runs": {"state": {"type": {"any_": ["FAILED"]}}}}
        assert operator.post("/api/task_runs/filter", none).json() == []
        assert foreigner.post("/api/task_runs/filter", {}).json() == []
        assert operator.post("/api/task_runs/filter", {"limit": 201}).status_code == 422

    def test_task_states_cost_five_statements_however_many_there_are(
        self, operator: Caller, new_run: NewRun, django_assert_num_queries: Any
    ) -> None:
        from portal.prefect.incoming import EVENTS, task_state_of

        run = new_run()
        events = EVENTS.validate_python([task_event(run, dynamic_key=str(n)) for n in range(200)])
        states = [state for each in events if (state := task_state_of(each))]

        with django_assert_num_queries(5), DjangoSession().transaction() as tx:
            record_task_states(tx, run.workspace_id, states)

        assert TaskRun.objects.count() == 200


class TestEvents:
    def test_a_list_of_events_is_stored(self, operator: Caller, new_run: NewRun) -> None:
        run = new_run()

        assert operator.post("/api/events", [event(), task_event(run, "Completed")]).status_code == 204

        assert Event.objects.filter(event="order.paid").count() == 1
        assert TaskRun.objects.get().state_name == "Completed"

    def test_filter_and_next_page(self, operator: Caller) -> None:
        events = [event(resource=f"order.{n}") for n in range(5)]
        operator.post("/api/events", [*events, event("order.lost")])
        body = {"filter": {"event": {"name": ["order.paid"], "prefix": None}, "id": {"id": []}}, "limit": 3}

        first = operator.post("/api/events/filter", body).json()
        second = operator.get(first["next_page"].removeprefix("http://testserver")).json()

        assert first["total"] == 5
        ids = [each["id"] for each in first["events"] + second["events"]]
        assert ids == [each["id"] for each in reversed(events)]
        assert second["next_page"] is None

    def test_others_see_none(self, operator: Caller, foreigner: Caller, new_run: NewRun) -> None:
        new_run()
        operator.post("/api/events", [event()])

        assert foreigner.post("/api/events/filter", {"filter": None}).json()["events"] == []

    @pytest.mark.parametrize(
        "filter",
        [
            {"resource": {"id": ["order.1"]}},
            {"resource": {"id_prefix": ["order."]}},
            {"resource": {"labels": {"kind": ["big", "small"]}}},
            {"resource": {"labels": {"kind": "b*"}}},
            {"related": {"id": ["shop.1"], "role": ["shop"]}},
            {"related": [{"resources_in_roles": [["shop.1", "shop"]]}]},
            {"any_resource": {"id": ["shop.1"]}},
            {"any_resource": {"id_prefix": ["shop."]}},
            {"event": {"exclude_name": ["order.lost"], "exclude_prefix": ["prefect."]}},
            {"text": {"query": "paid -lost"}},
            {"occurred": {"since": "2020-01-01T00:00:00Z", "until": None}, "event": {"prefix": ["order.p"]}},
        ],
    )
    def test_parts_of_the_filter(self, operator: Caller, filter: dict[str, Any]) -> None:
        shop = {"prefect.resource.id": "shop.1", "prefect.resource.role": "shop"}
        paid = event(related=[shop])
        paid["resource"]["kind"] = "big"
        operator.post("/api/events", [paid, event("order.lost", "parcel.2")])

        found = operator.post("/api/events/filter", {"filter": filter}).json()["events"]

        assert [each["event"] for each in found] == ["order.paid"]

    @pytest.mark.parametrize("filter", [7, {"event": 7}, {"occurred": {"since": "yesterday"}}])
    def test_bad_filters_are_told_of(self, operator: Caller, filter: Any) -> None:
        assert operator.post("/api/events/filter", {"filter": filter}).status_code == 422

    def test_a_page_token_that_is_not_ours_is_told_of(self, operator: Caller) -> None:
        for token in ("", "x", "W10", "WzEsMiwzLDRd"):
            assert operator.get("/api/events/filter/next", **{"page-token": token}).status_code == 422


class TestArtifacts:
    def make(self, caller: Caller, run: FlowRun, **fields: Any) -> Any:
        body = {"key": "report", "type": "markdown", "data": "# hi", "flow_run_id": str(run.id), **fields}
        return caller.post("/api/artifacts/", body)

    def test_made_changed_and_found(self, operator: Caller, new_run: NewRun) -> None:
        run = new_run()
        made = self.make(operator, run, type="progress", data=10.0)
        assert made.status_code == 201

        changed = operator.patch(f"/api/artifacts/{made.json()['id']}", {"data": 50.0})

        assert changed.status_code == 204
        found = operator.post("/api/artifacts/filter", {"artifacts": {"key": {"any_": ["report"]}}}).json()
        assert [(each["data"], each["key"]) for each in found] == [(50.0, "report")]

    def test_a_change_leaves_what_it_does_not_name(self, operator: Caller, new_run: NewRun) -> None:
        address = f"/api/artifacts/{self.make(operator, new_run(), description='of May').json()['id']}"

        changes = [{"data": "# bye"}, {"data": None}, {"description": "of June"}]
        codes = [operator.patch(address, change).status_code for change in changes]

        now = operator.get(address).json()
        assert (codes, now["data"], now["description"]) == ([204, 204, 204], "# bye", "of June")

    @pytest.mark.parametrize("data", [{}, {"data": None}])
    def test_one_that_shows_nothing_is_refused(
        self, operator: Caller, new_run: NewRun, data: dict[str, Any]
    ) -> None:
        body = {"key": "report", "type": "markdown", "flow_run_id": str(new_run().id), **data}

        assert operator.post("/api/artifacts/", body).status_code == 422

    def test_no_key_holds_a_nul(self, viewer: Caller) -> None:
        assert viewer.get("/api/artifacts/%00/latest").status_code == 404

    def test_the_newest_of_each_key(self, operator: Caller, new_run: NewRun) -> None:
        run = new_run()
        ids = [self.make(operator, run, key=key).json()["id"] for key in ("a", "b", "a")]
        Artifact.objects.filter(id=ids[0]).update(created=datetime.now(UTC) - timedelta(hours=1))

        latest = operator.post("/api/artifacts/latest/filter", {"sort": "KEY_ASC"}).json()

        assert [each["latest_id"] for each in latest] == [ids[2], ids[1]]
        assert operator.get("/api/artifacts/a/latest").json()["id"] == ids[2]

    def test_tables_come_as_text(self, operator: Caller, new_run: NewRun) -> None:
        by_rows = self.make(operator, new_run(), type="table", data='[{"x": 1}]')
        by_columns = self.make(operator, new_run(), type="table", data='{"x": [1, 2], "y": [3, 4]}')

        assert by_rows.json()["data"] == [{"x": 1}]
        assert by_columns.json()["data"] == [{"x": 1, "y": 3}, {"x": 2, "y": 4}]

    def test_editors_delete_them(self, operator: Caller, editor: Caller, new_run: NewRun) -> None:
        address = f"/api/artifacts/{self.make(operator, new_run()).json()['id']}"

        codes = [caller.delete(address).status_code for caller in (operator, editor, editor)]

        assert codes == [403, 204, 404]

    def test_runs_of_others_are_refused(self, foreigner: Caller, new_run: NewRun) -> None:
        assert self.make(foreigner, new_run()).status_code == 409
