"""The state of a run that was ended by something that is not an ordinary exception."""

from flows.sdk.states import Crashed, State


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
