"""What the token of a run opens: what the process that executes it needs, and nothing else."""

from collections.abc import Mapping
from typing import Any

from runs.run_tokens import RunToken

# All that a run's token opens: actions by the base name of their routes. What belongs to runs is limited to
# the token's own (`ScopedQuerySet.for_actor`), all else to the run's workspace.
OPENED: Mapping[str, frozenset[str]] = {
    "api-flow-run": frozenset(
        {
            "report", "retrieve", "resume", "suspend",
            "put_input", "get_input", "filter_inputs", "delete_input",
            "result", "lock_result",
            "errand_queue", "exchange_errands", "look_at_errands", "take_errand_back",
        }
    ),
    "api-result": frozenset({"retrieve", "signing_keys"}),
    "api-variable": frozenset({"by_name", "create", "change_by_name", "destroy_by_name"}),
    "api-block": frozenset({"by_name", "create", "destroy_by_name"}),
    "api-concurrency-limit": frozenset({"acquire", "renew", "release", "turn"}),
    "api-event": frozenset({"create"}),
    "api-deployment": frozenset({"retrieve", "by_name", "create_flow_run"}),
    "api-bundle": frozenset({"retrieve"}),
    "api-background-task": frozenset({"create", "retrieve", "result"}),
}  # fmt: skip


def is_opened(view: Any) -> bool:
    """Whether a run's token opens the action that the view is about to do."""
    return view.action in OPENED.get(getattr(view, "basename", ""), frozenset())


class RunProcess:
    """The `user` of a request that came with a run's token: nobody who has a role."""

    is_authenticated = is_active = True
    is_superuser = False

    def __init__(self, token: RunToken) -> None:
        self.pk = f"run-{token.run_id}"
        self._name = f"flow run {token.run_name}"

    def get_username(self) -> str:
        return self._name
