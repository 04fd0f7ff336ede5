"""Times in what is taken in bulk."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

FIRST_YEAR, LAST_YEAR = 1900, 2999


def moment(time: datetime) -> datetime:
    """The time in UTC. Raises ValueError outside of the years from 1900 to 2999.

    PostgreSQL stores 0001-01-01T00:00+14:00, which is before the year 1, and no list that holds the row can
    be read again.
    """
    try:
        there = time.astimezone(UTC)
    except OverflowError:
        there = None
    if there is None or not FIRST_YEAR <= there.year <= LAST_YEAR:
        raise ValueError(f"must lie in the years from {FIRST_YEAR} to {LAST_YEAR}")
    return there


Moment = Annotated[AwareDatetime, AfterValidator(moment)]
