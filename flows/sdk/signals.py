"""What ends a run from outside its function. BaseExceptions: `except Exception` lets them pass."""


class TerminationSignal(BaseException):
    """The run is to be cancelled. Raised in the main thread by the agent's SIGTERM handler."""


class RunReleased(BaseException):
    """The run was rescheduled for a later retry: this process is done with it."""
