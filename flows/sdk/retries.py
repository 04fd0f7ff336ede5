"""When a failed run is tried again: how often, after which delay, and whether at all."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from flows.sdk.states import State

# Seconds before each retry: one number for all, one for each, or a function of the number of retries.
Delays = float | Sequence[float] | Callable[[int], Sequence[float]]

# Asked with the task, its task run and the failed state; a falsy answer means: do not try again.
RetryCondition = Callable[[Any, Any, State], Any]

MOST_DELAYS = 50


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Delays that double: `backoff_factor` seconds before the first retry, then 2, 4, 8, ... times as much.

    For `@task(retries=3, retry_delay_seconds=exponential_backoff(backoff_factor=10))`.
    """

    def delays(retries: int) -> list[float]:
        return [backoff_factor * 2**number for number in range(retries)]

    return delays


def checked_retries(retries: int) -> int:
    """The number of retries. Raises ValueError for a negative one."""
    if retries < 0:
        raise ValueError(f"retries must be 0 or more, not {retries}.")
    return retries


def checked_delays(given: Delays, retries: int) -> tuple[float, ...]:
    """The seconds before each retry; the last holds for all that follow.

    Raises ValueError for a delay that is negative or not finite, and for more than 50 of them.
    """
    wanted = given(retries) if callable(given) else given
    delays = (wanted,) if isinstance(wanted, int | float) else tuple(wanted)
    if len(delays) > MOST_DELAYS:
        raise ValueError(f"retry_delay_seconds may hold {MOST_DELAYS} delays at most, not {len(delays)}.")
    for delay in delays:
        if not math.isfinite(delay) or delay < 0:
            raise ValueError(f"retry_delay_seconds must be 0 or more, not {delay}.")
    return delays or (0.0,)


def checked_jitter(factor: float | None) -> float:
    """The jitter factor, 0 for none. Raises ValueError for a negative one."""
    if factor is not None and not (math.isfinite(factor) and factor >= 0):
        raise ValueError(f"retry_jitter_factor must be 0 or more, not {factor}.")
    return factor or 0.0


def delay_before(retry: int, delays: Sequence[float], jitter_factor: float = 0.0) -> float:
    """Seconds before a retry (1 is the first).

    With a jitter factor it is chosen at random around the delay, up to that fraction more or less, so that
    runs that failed together do not come back together.
    """
    delay = delays[min(retry, len(delays)) - 1]
    if not jitter_factor:
        return delay
    return delay * random.uniform(max(0.0, 1 - jitter_factor), 1 + jitter_factor)
