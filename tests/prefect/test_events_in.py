"""`/api/events/in`, raw: what is stored, what closes the socket, and what a pong promises."""

from uuid import UUID, uuid4

import pytest

from flows.models import Workspace
from runs.models import Event, FlowRun, TaskRun, TaskRunState
from tests.factories import lease, make_deployment, make_queue, make_run
from tests.prefect.runs import prefect_run
from tests.prefect.serving import Serving, revoke_all, serving, token_of
from tests.prefect.sockets import ClientSocket, event, task_event

__all__ = ["serving"]
PATH = "events/in"


@pytest.fixture
def run(serving: Serving) -> FlowRun:
    return prefect_run()


def send(serving: Serving, *events: object) -> None:
    """Send events, and wait until they are stored."""
    with serving.socket(PATH) as socket:
        for each in events:
            socket.say(each)
        socket.settle()


def test_a_task_run_is_stored_with_its_history(serving: Serving, run: FlowRun) -> None:
    task_run_id = uuid4()
    states = ["Pending", "Running", "Completed"]

    send(
        serving,
        *(task_event(run, name, task_run_id=task_run_id, seconds=n) for n, name in enumerate(states)),
    )

    task_run = TaskRun.objects.get(flow_run=run)
    assert (task_run.id, task_run.name, task_run.state_name) == (task_run_id, "add-0", "Completed")
    assert task_run.tags == ["t1"]
    assert list(task_run.states.order_by("timestamp").values_list("name", flat=True)) == states


def test_events_that_come_twice_are_stored_once(serving: Serving, run: FlowRun) -> None:
    events = [task_event(run, "Running", task_run_id=uuid4()), event()]

    send(serving, *events, *events)
    send(serving, *events)

    assert (TaskRun.objects.count(), TaskRunState.objects.count()) == (1, 1)
    assert Event.objects.filter(event="order.paid").count() == 1


def test_the_newest_state_shows_whatever_came_last(serving: Serving, run: FlowRun) -> None:
    task_run_id = uuid4()
    running = task_event(run, "Running", task_run_id=task_run_id, seconds=1)
    completed = task_event(run, "Completed", task_run_id=task_run_id, seconds=2)

    send(serving, completed)
    send(serving, running)

    assert TaskRun.objects.get().state_name == "Completed"
    assert TaskRunState.objects.count() == 2


def test_a_task_run_keeps_its_id_when_another_process_tries_it_again(serving: Serving, run: FlowRun) -> None:
    first, second = uuid4(), uuid4()

    send(serving, task_event(run, "Failed", task_run_id=first, seconds=1))
    send(serving, task_event(run, "Completed", task_run_id=second, seconds=2))

    task_run = TaskRun.objects.get()
    assert (task_run.id, task_run.state_name, task_run.states.count()) == (first, "Completed", 2)


def test_a_task_outside_of_flows_belongs_to_the_workspace(serving: Serving) -> None:
    send(serving, task_event(None, "Completed"))

    task_run = TaskRun.objects.get()
    assert task_run.flow_run_id is None
    assert task_run.workspace == Workspace.objects.get(name="default")


def test_what_agents_or_others_own_is_left_alone(serving: Serving, run: FlowRun) -> None:
    lease(run)
    foreign = make_run(
        make_deployment(queue=make_queue(workspace=Workspace.objects.create(name="elsewhere")))
    )

    queued = make_run()

    send(
        serving,
        task_event(run),
        task_event(foreign),
        task_event(queued),
        task_event(None, "Completed", dynamic_key="kept"),
    )

    assert TaskRun.objects.get().dynamic_key == "kept"
    foreign.refresh_from_db()
    assert foreign.version == 1


def test_a_task_run_of_another_run_is_not_taken_over(serving: Serving, run: FlowRun) -> None:
    task_run_id = uuid4()
    send(serving, task_event(run, "Completed", task_run_id=task_run_id))

    send(serving, task_event(prefect_run(), "Failed", task_run_id=task_run_id, seconds=9))

    assert TaskRun.objects.get().state_name == "Completed"
    assert TaskRunState.objects.count() == 1


def test_an_event_that_makes_no_sense_does_not_hold_up_the_rest(serving: Serving, run: FlowRun) -> None:
    odd = task_event(run, "Running", type="WALKING")
    nul = event("order.\0paid", payload={"text": "a\0b"})

    send(serving, odd, nul, task_event(run, "Completed", dynamic_key="1"))

    assert TaskRun.objects.get().dynamic_key == "1"
    assert Event.objects.filter(event="order.\ufffdpaid").exists()


@pytest.mark.parametrize(
    "frame", ["no JSON", "[]", '{"event": "order.paid"}', '{"type": "auth", "token": null}', "{"]
)
def test_a_frame_that_is_no_event_closes_the_socket_and_what_came_before_stays(
    serving: Serving, frame: str
) -> None:
    with serving.socket(PATH) as socket:
        socket.say(event())
        socket.say(frame)

        assert socket.closed()[0] == 1002
    assert Event.objects.filter(event="order.paid").exists()


def test_a_socket_without_a_valid_token_is_closed(serving: Serving) -> None:
    for token in (None, "", "portal_wrong", token_of("viewer")):
        code, reason = ClientSocket(serving.port, PATH, token).closed()
        assert code == 1008, token
        assert reason


def test_the_header_of_the_upgrade_is_as_good_as_the_frame(serving: Serving) -> None:
    headers = {"Authorization": f"Bearer {serving.token}"}

    with ClientSocket(serving.port, PATH, None, headers) as socket:
        socket.settle()


def test_a_token_that_ends_stores_nothing_more(serving: Serving, run: FlowRun) -> None:
    with serving.socket(PATH) as socket:
        revoke_all()
        socket.say(task_event(run))

        assert socket.closed()[0] == 1008
    assert not TaskRun.objects.exists()


def test_a_burst_of_5000_events_is_stored_before_the_pong(serving: Serving, run: FlowRun) -> None:
    ids = [uuid4() for _ in range(2500)]

    with serving.socket(PATH) as socket:
        for state, second in (("Running", 1), ("Completed", 2)):
            for n, id in enumerate(ids):
                socket.say(task_event(run, state, task_run_id=id, dynamic_key=str(n), seconds=second))
        socket.settle()
        assert TaskRun.objects.filter(flow_run=run, state_name="Completed").count() == 2500
    assert TaskRunState.objects.count() == 5000


def test_what_a_pong_confirmed_survives_the_server(serving: Serving, run: FlowRun) -> None:
    with serving.socket(PATH) as socket:
        for n in range(300):
            socket.say(task_event(run, "Completed", dynamic_key=str(n)))
        socket.settle()
        serving.child.kill()

    assert TaskRun.objects.filter(flow_run=run).count() == 300


def test_ids_are_those_of_the_client(serving: Serving, run: FlowRun) -> None:
    sent = task_event(run)

    send(serving, sent)

    assert TaskRunState.objects.get().id == UUID(sent["id"])
