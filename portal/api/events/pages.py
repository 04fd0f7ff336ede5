"""Pages of events, as Prefect's clients ask for them."""

import base64
import binascii
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

import orjson
from django.db.models import Q, QuerySet
from django.utils.timezone import now
from pydantic import ValidationError

from flows.catalog.json_text import json_text
from flows.catalog.parameters import FieldError
from flows.scoping import Actor
from portal.api.base.errors import InvalidInput, problems_of
from portal.api.filtering.pages import count_of
from portal.prefect.event_filter import EVENT_FILTER
from runs.models import Event

COLUMNS = ("id", "occurred", "event", "resource", "related", "payload", "follows", "received")
MOST_DAYS = timedelta(days=7)  # what is read when nobody says since when
AT_ONCE = 500
MOST_READ = 10_000  # a page of a filter that means few events ends here, with the address of the next


class EventPages:
    """The events that `sent`, Prefect's filter, means; from the place where the last page ended."""

    def __init__(
        self, actor: Actor, sent: Any, limit: int, after: tuple[datetime, UUID] | None = None
    ) -> None:
        """Raises InvalidInput."""
        try:
            self.filter = EVENT_FILTER.validate_python(sent)
        except ValidationError as error:
            raise InvalidInput(problems_of(error)) from error
        self.sent, self.limit, self.after = sent, limit, after
        self.falling = self.filter.order.upper() != "ASC"
        found: QuerySet[Any] = Event.objects.for_actor(actor).filter(self.filter.narrowed())
        if not (self.filter.occurred and self.filter.occurred.since):
            found = found.filter(occurred__gte=now() - MOST_DAYS)
        self.found = found

    @classmethod
    def of_token(cls, actor: Actor, token: str) -> Self:
        """The page that a token of `read` names. Raises InvalidInput for anything else."""
        try:
            sent, limit, occurred, id = orjson.loads(
                base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            )
            after = datetime.fromisoformat(occurred), UUID(id)
            return cls(actor, sent, max(1, min(int(limit), 200)), after)
        except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError):
            raise InvalidInput([FieldError("page-token", "is not one of ours; start again")]) from None

    def read(self) -> tuple[list[dict[str, Any]], str]:
        """The events of this page, and the token of the next one; empty after the last."""
        events: list[dict[str, Any]] = []
        order = ("-occurred", "-id") if self.falling else ("occurred", "id")
        for _ in range(MOST_READ // AT_ONCE):
            rows = list(self.found.filter(self._beyond()).order_by(*order).values(*COLUMNS)[:AT_ONCE])
            for row in rows:
                if len(events) == self.limit:
                    return events, self._token()
                self.after = row["occurred"], row["id"]
                if self.filter.includes(row):
                    events.append(row)
            if len(rows) < AT_ONCE:
                return events, ""
        return events, self._token()

    def total(self) -> int:
        """How many events there are, as far as PostgreSQL can tell; more than 100,000 are not counted."""
        return count_of(self.found)

    def _beyond(self) -> Q:
        if self.after is None:
            return Q()
        occurred, id = self.after
        step = "lt" if self.falling else "gt"
        # The first condition follows from the second; by itself it is a range of the index.
        return Q(**{f"occurred__{step}e": occurred}) & (
            Q(**{f"occurred__{step}": occurred}) | Q(**{"occurred": occurred, f"id__{step}": id})
        )

    def _token(self) -> str:
        place = self.after or (None, None)
        text = json_text([self.sent, self.limit, *place], default=str)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
