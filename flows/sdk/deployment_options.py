"""What a deployment may be given besides its name, and the checks of what Prefect's users pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from flows.sdk.schedules import Schedule


class ConcurrencyLimitStrategy(str, Enum):
    """What becomes of a run that is due while as many run as may."""

    ENQUEUE = "ENQUEUE"  # it waits
    CANCEL_NEW = "CANCEL_NEW"  # it is cancelled
    CANCEL_RUNNING = "CANCEL_RUNNING"  # the oldest running one is cancelled for it
    KEEP_LATEST = "KEEP_LATEST"  # it waits, and takes the place of those that wait


@dataclass(frozen=True, slots=True)
class ConcurrencyLimitConfig:
    """How many runs of a deployment may run at once, and what becomes of the next."""

    limit: int
    collision_strategy: ConcurrencyLimitStrategy = ConcurrencyLimitStrategy.ENQUEUE


class EntrypointType(str, Enum):
    """How agents find the flow: by a file in a folder, or by a module that they can import."""

    FILE_PATH = "file_path"
    MODULE_PATH = "module_path"


class DeploymentOptions(TypedDict, total=False):
    """What a deployment may be given besides its name and its work pool.

    interval: seconds or a timedelta between runs; cron: such as "0 6 * * *", and rrule: such as
    "FREQ=WEEKLY;BYDAY=MO", read in `timezone` (UTC); each may be a list. schedule, schedules: made with
    `Cron`, `Interval` or `RRule`. Without any of these, the schedules that the deployment has stay.
    parameters: defaults of its runs. tags: of its runs, beside the flow's own.
    description, version: default: the flow's. paused: whether schedules and agents leave it alone.
    work_queue_name: where its runs wait for agents, in the work pool; default: "default".
    concurrency_limit: how many of its runs may run at once: a number, or a ConcurrencyLimitConfig.
    enforce_parameter_schema: False lets runs have parameters that do not fit the flow's signature.
    job_variables: values for who executes its runs; in runs they are `runtime.flow_run.job_variables`.
    entrypoint_type: how agents find the flow; default: by its file.
    image: kept as the job variable `image`. build, push, ignore_warnings: taken, and of no effect: Portal
    builds no images, agents load the code from where it lies.
    """

    interval: float | timedelta | list[float | timedelta] | None
    cron: str | list[str] | None
    rrule: str | list[str] | None
    timezone: str | None
    schedule: "Schedule | None"
    schedules: "list[Schedule] | None"
    parameters: Mapping[str, Any] | None
    tags: Sequence[str] | None
    description: str | None
    version: str | None
    paused: bool | None
    work_queue_name: str | None
    concurrency_limit: int | ConcurrencyLimitConfig | None
    enforce_parameter_schema: bool | None
    job_variables: Mapping[str, Any] | None
    entrypoint_type: EntrypointType | None
    image: Any
    build: bool
    push: bool
    ignore_warnings: bool


RULES = ("interval", "cron", "rrule", "timezone", "schedule", "schedules")
_WITHOUT_EFFECT = ("build", "push", "ignore_warnings")
_REFUSED = {
    "triggers": "make an automation for it instead, which starts runs of the deployment",
    "version_type": "versions are noted by Portal itself; name this one by version=",
    "_sla": "Portal has no service levels; late and failed runs are shown on its pages",
}


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, without those that have no effect. Raises TypeError, naming the rest."""
    given = {name: value for name, value in options.items() if value is not None}
    for name, instead in _REFUSED.items():
        if given.pop(name, None):
            raise TypeError(f"A deployment of Portal takes no {name}: {instead}.")
    if unknown := given.keys() - DeploymentOptions.__annotations__.keys():
        raise TypeError(f"A deployment has no option {', '.join(sorted(unknown))}.")
    return {name: value for name, value in given.items() if name not in _WITHOUT_EFFECT}


def limit_of(given: int | ConcurrencyLimitConfig | None) -> ConcurrencyLimitConfig | None:
    """The limit in its long form. Raises ValueError for a negative one."""
    found = ConcurrencyLimitConfig(given) if isinstance(given, int) else given
    if found is not None and found.limit < 0:
        raise ValueError(f"concurrency_limit must be 0 or more, not {found.limit}.")
    return found


def job_variables_of(given: Mapping[str, Any] | None, image: Any) -> dict[str, Any]:
    """The job variables, the image among them; an image object counts by its full name, as `str` tells it."""
    return {**(given or {}), **({"image": str(image)} if image else {})}
