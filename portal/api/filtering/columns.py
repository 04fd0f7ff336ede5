"""What Prefect's clients may filter each kind of object by: their field, our column."""

from portal.api.filtering.language import Field, Fields, as_number, as_switch, ids, one_of, tags, texts, times
from runs.models.flow_run import StateType

STATE: Fields = {"type": Field("state_type", one_of(StateType)), "name": texts("state_name")}
FLOW: Fields = {"id": ids("id"), "name": texts("name"), "tags": tags("tags")}
DEPLOYMENT: Fields = {
    "id": ids("id"),
    "name": texts("name"),
    "paused": Field("paused", as_switch),
    "tags": tags("tags"),
    "work_queue_name": texts("work_queue__name"),
    "concurrency_limit": Field("concurrency_limit", as_number),
}
WORK_POOL: Fields = {"id": ids("id"), "name": texts("name"), "type": texts("worker_type")}
WORK_QUEUE: Fields = {"id": ids("id"), "name": texts("name")}
TASK_RUN: Fields = {
    "id": ids("id"),
    "name": texts("name"),
    "tags": tags("tags"),
    "state": STATE,
    "start_time": times("start_time"),
    "end_time": times("end_time"),
    "flow_run_id": ids("flow_run_id"),
}
FLOW_RUN: Fields = {
    "id": ids("id"),
    "name": texts("name"),
    "tags": tags("tags"),
    "deployment_id": ids("deployment_id"),
    "work_queue_name": texts("work_queue__name"),
    "state": STATE,
    "flow_version": texts("flow_version"),
    "start_time": times("start_time"),
    "end_time": times("end_time"),
    "expected_start_time": times("expected_start_time"),
    "next_scheduled_start_time": times("expected_start_time"),
    "parent_flow_run_id": ids("parent_task_run__flow_run_id"),
    "parent_task_run_id": ids("parent_task_run_id"),
    "idempotency_key": texts("idempotency_key"),
}
