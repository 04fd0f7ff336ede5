"""Flow retries do not compute anew what an earlier try of the same flow run has computed.

The memory of one process; results that outlive it are looked up by cache key (`cache_policies`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flows.sdk.states import State


class _Finished(NamedTuple):
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    state: State


class Replay:
    """Completed task runs of one flow run, by task key and number of the call.

    The number alone does not tell calls apart (threads may come in another order), so the inputs must be
    equal, too: a call with other inputs is made.
    """

    def __init__(self) -> None:
        self._finished: dict[tuple[str, str], _Finished] = {}

    def remember(
        self, key: tuple[str, str], args: Sequence[Any], kwargs: Mapping[str, Any], state: State
    ) -> None:
        self._finished[key] = _Finished(args, kwargs, state)

    def forget(self, key: tuple[str, str]) -> None:
        """The call was undone."""
        self._finished.pop(key, None)

    def find(self, key: tuple[str, str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> State | None:
        """The completed state of the same call in an earlier try, if there is one."""
        finished = self._finished.get(key)
        if finished is None or not _equal((list(args), kwargs), (list(finished.args), finished.kwargs)):
            return None
        return finished.state


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays and data frames do not say whether they are equal as a whole
        return False
