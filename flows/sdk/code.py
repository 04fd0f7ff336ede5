"""Code on its way to another process: by cloudpickle, behind the version of Python that it is for.

Functions that the other process could not import travel as bytecode, which is another one in each version of
Python: what a wrong one does with it is anything from an odd error to a dead process.
"""

import sys
from importlib.machinery import PathFinder
from typing import Any

_MARK = b"python"
_LENGTH = len(_MARK) + 2


class OtherPythonError(RuntimeError):
    """Code of one version of Python came to a process of another one, and was not opened."""


def pickled(value: Any, module: str) -> bytes:
    """`value` by cloudpickle; with it the code of `module`, if others could not import that by its name."""
    import cloudpickle

    loaded = sys.modules.get(module)
    if loaded is not None and PathFinder.find_spec(module.partition(".")[0]) is None:
        cloudpickle.register_pickle_by_value(loaded)
    packed: bytes = cloudpickle.dumps(value)
    return packed


def packed_code(value: Any, module: str) -> bytes:
    """As `pickled`, for `opened_code`."""
    return _MARK + bytes(sys.version_info[:2]) + pickled(value, module)


def opened_code(packed: bytes) -> Any:
    """What was packed. Raises OtherPythonError, and whatever loading raises.

    Loading runs it: callers verify its signature first, unless it is from a process of their own.
    What has no mark comes from an older SDK, and is believed to fit.
    """
    import cloudpickle

    if packed.startswith(_MARK):
        theirs = tuple(packed[len(_MARK) : _LENGTH])
        if theirs != sys.version_info[:2]:
            raise OtherPythonError(_explained(theirs))
        packed = packed[_LENGTH:]
    return cloudpickle.loads(packed)


def _explained(theirs: tuple[int, ...]) -> str:
    ours = ".".join(map(str, sys.version_info[:2]))
    sender = ".".join(map(str, theirs))
    return (
        f"This task was sent by Python {sender}, and its agent runs Python {ours}: code cannot go from one "
        f"to the other. Send it to the queue of an agent with Python {sender}."
    )
