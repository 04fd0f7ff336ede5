"""What ends a run from outside its function. BaseExceptions: `except Exception` lets them pass."""


class TerminationSignal(BaseException):
    """The run is to be cancelled. Raised in the main thread by the agent's SIGTERM handler."""


class DeadlinePassed(BaseException):
    """Time is up for the code inside `limit` (a `flows.sdk.timeouts.Limit`; None in a thread left behind)."""

    def __init__(self, limit: object = None) -> None:
        super().__init__()
        self.limit = limit


class RunReleased(BaseException):
    """The run was suspended, or rescheduled for a later retry: this process is done with it."""


class HandedBack(RunReleased, TerminationSignal):
    """The run goes to another agent. Raised in the main thread by the agent's handler, like a cancellation;
    but this process reports no end of the run, and calls no hooks."""
