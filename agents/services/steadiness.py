"""Whether a loop has been ticking without a gap, so that what it sees expired is to be believed."""

from datetime import datetime, timedelta

from agents.claim import LEASE_SECONDS

LEASE = timedelta(seconds=LEASE_SECONDS)
# Agents renew every 2 s. A shorter silence of the database costs no agent its lease.
GAP = timedelta(seconds=3)
# No lease that was renewed by the clock as it is ends later than this from now.
FARTHEST = LEASE + GAP


class Steadiness:
    """Trusts an expired lease only if the loop has itself been ticking without a gap for one lease.

    While PostgreSQL or this process was away, agents could not renew, or nobody could see that
    they did; when the clock was set, what they had renewed says nothing any more: everybody gets a whole
    lease to show that they live.
    """

    def __init__(self) -> None:
        self._last: datetime | None = None
        self._since: datetime | None = None

    def tick(self, now: datetime) -> bool:
        """Note a tick of the loop, and say whether leases that ran out may be ended."""
        if self._since is None or self._last is None or not timedelta(0) <= now - self._last <= GAP:
            self._since = now
        self._last = now
        return now - self._since >= LEASE
