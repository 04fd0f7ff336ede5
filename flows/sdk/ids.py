"""Time-ordered identifiers: UUID version 7 (RFC 9562), made in Python.

Rows that are written together stay together in their index, and the ids of one process
sort in the order in which they were made, even within one millisecond.
"""

import os
import threading
import time
from array import array
from uuid import UUID

_lock = threading.Lock()
_last = 0
# Random numbers of 64 bits, fetched many at a time: each fetch lets other threads in, which costs a flow of
# many threads more than the numbers.
_random = array("Q")
_FETCHED = 256


def _forget_after_fork() -> None:
    global _lock, _random
    _lock = threading.Lock()
    _random = array("Q")


os.register_at_fork(after_in_child=_forget_after_fork)


def uuid7() -> UUID:
    """A new UUIDv7: 48 bits of milliseconds, 12 bits of sub-millisecond time, 62 random bits.

    The first 60 bits never repeat within a process, so ids sort as they were made.
    """
    global _last
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    stamp = (milliseconds << 12) | (rest << 12) // 1_000_000
    with _lock:
        if stamp <= _last:
            stamp = _last + 1
        _last = stamp
        if not _random:
            _random.frombytes(os.urandom(_FETCHED * _random.itemsize))
        random = _random.pop() & 0x3FFF_FFFF_FFFF_FFFF
    value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | random
    return UUID(int=value)
