"""The state of a run that was ended by something that is not an ordinary exception."""

from flows.sdk.signals import DeadlinePassed, TerminationSignal
from flows.sdk.states import Cancelled, Crashed, State

STOPS = (TerminationSignal, DeadlinePassed)


def stopped(by: BaseException) -> State:
    """Cancelled, by the flow run around it: that was cancelled, or its time was up."""
    why = "exceeded its timeout" if isinstance(by, DeadlinePassed) else "was cancelled"
    return Cancelled(message=f"The flow run {why}.")


def crashed(error: BaseException) -> State:
    """Crashed, saying truthfully what ended the run."""
    return Crashed(message=_what(error), data=error)


def _what(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"The run called sys.exit({error.code!r})."
    if isinstance(error, KeyboardInterrupt):
        return "The run was interrupted from the keyboard."
    if type(error).__name__ == "CancelledError":
        return "The run's asyncio task was cancelled."
    return f"The run was ended by an unexpected {type(error).__name__}: {error}"
