"""What a flow's return value says about its final state."""

from typing import Any

from flows.sdk.annotations import Quote
from flows.sdk.states import Completed, State, StateType


def state_of(value: Any, single_future: bool = False) -> State:
    """The final state of a flow that returned `value`, in which futures were replaced by states.

    A state decides as it is. A list, tuple or set of states, or a single future, decides together: all
    completed, or else cancelled if any was, or else failed. Any other value: completed, also a `quote`.
    """
    if isinstance(value, Quote):
        return Completed(data=value.value)
    if isinstance(value, State) and not single_future:
        return value.anew()
    states = [value] if single_future else value
    if not (isinstance(states, list | tuple | set) and states and all(isinstance(s, State) for s in states)):
        return Completed(data=value)
    return _together(list(states), value.data if single_future else value)


def _together(states: list[State], value: Any) -> State:
    total = len(states)
    if all(state.is_completed() for state in states):
        return Completed(message="All states completed.", data=value)
    if cancelled := sum(state.is_cancelled() for state in states):
        return State(StateType.CANCELLED, message=f"{cancelled}/{total} states cancelled.", data=value)
    if failed := sum(state.is_failed() or state.is_crashed() for state in states):
        return State(StateType.FAILED, message=f"{failed}/{total} states failed.", data=value)
    unfinished = sum(not state.is_terminal() for state in states)
    return State(StateType.FAILED, message=f"{unfinished}/{total} states are not final.", data=value)


def returned(state: State) -> Any:
    """What the call of a flow that ended in `state` returns; raises the exception of a failed one.

    A flow that returned states returns them whatever they are, as in Prefect.
    """
    if isinstance(state.data, list | tuple | set) and all(isinstance(item, State) for item in state.data):
        return state.data
    return state.result()
