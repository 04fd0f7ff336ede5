"""What came of a task run: the calls that a retry from there has to make anew."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

Call = tuple[str, str]  # task key and dynamic key

WITHIN = "__parents__"


class Made(NamedTuple):
    """One task run of an attempt. `inputs` are the ids of those whose results it was given, by argument."""

    id: UUID
    task_key: str
    dynamic_key: str
    inputs: Mapping[str, Sequence[str]]
    created: datetime
    end_time: datetime | None

    @property
    def call(self) -> Call:
        return self.task_key, self.dynamic_key


def untouched(made: Iterable[Made], chosen_id: UUID) -> frozenset[Call]:
    """The calls of an attempt that nothing of the chosen task run's can have reached.

    Reached are the task runs that were given its result, and so on; those that it was called in and those
    that were called in it; and all that were made after it had ended, since a plain value leaves no trace.
    """
    runs = sorted(made, key=lambda run: run.created)
    by_id = {run.id: run for run in runs}
    chosen = by_id.get(chosen_id)
    if chosen is None:
        return frozenset()
    reached = _reached(by_id, chosen_id)
    if chosen.end_time is not None:
        reached |= {run.id for run in runs if run.created >= chosen.end_time}
    newest = {run.call: run.id for run in runs}  # the flow's own retries repeat their calls
    return frozenset(call for call, id in newest.items() if id not in reached and call != chosen.call)


def _reached(by_id: Mapping[UUID, Made], chosen_id: UUID) -> set[UUID]:
    consumers: dict[UUID, list[UUID]] = defaultdict(list)
    for run in by_id.values():
        for sources in run.inputs.values():
            for source in sources:
                consumers[UUID(source)].append(run.id)
    reached, ahead = {chosen_id}, [chosen_id]
    while ahead:
        id = ahead.pop()
        around = [UUID(parent) for parent in by_id[id].inputs.get(WITHIN, ()) if UUID(parent) in by_id]
        for other in (*consumers[id], *around):
            if other not in reached:
                reached.add(other)
                ahead.append(other)
    return reached
