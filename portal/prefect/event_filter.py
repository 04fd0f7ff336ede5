"""Prefect's filter of events.

`includes` decides, for stored events and for those that happen, one at a time. `narrowed` is what PostgreSQL
can say of it with an index: it leaves out only what `includes` would, and perhaps not all of that.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Q
from pydantic import AwareDatetime, BeforeValidator, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from portal.prefect.incoming import RESOURCE_ID, ROLE

EventRow = Mapping[str, Any]
Labels = Mapping[str, Any]
Text = Annotated[str, Field(max_length=500)]
Texts = Annotated[list[Text], Field(max_length=500)]
MOST_PARTS = 10  # of each kind: every event is compared with all of them


def _listed(value: Any) -> Any:
    """One or several, as a list; nothing as an empty one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


OneOrMore = Annotated[Texts, BeforeValidator(_listed)]


@dataclass
class OccurredFilter:
    """From `since` until `until`, both included."""

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    def narrowed(self) -> Q:
        found = Q(occurred__gte=self.since) if self.since else Q()
        return found & Q(occurred__lte=self.until) if self.until else found

    def includes(self, event: EventRow) -> bool:
        occurred: datetime = event["occurred"]
        return not (self.since and occurred < self.since) and not (self.until and occurred > self.until)


@dataclass
class NameFilter:
    """By the event's name, or how it begins."""

    prefix: OneOrMore = Field(default_factory=list)
    exclude_prefix: OneOrMore = Field(default_factory=list)
    name: OneOrMore = Field(default_factory=list)
    exclude_name: OneOrMore = Field(default_factory=list)

    def narrowed(self) -> Q:
        return Q(event__in=self.name) if self.name else Q()

    def includes(self, event: EventRow) -> bool:
        name: str = event["event"]
        return (
            (not self.prefix or name.startswith(tuple(self.prefix)))
            and not name.startswith(tuple(self.exclude_prefix))
            and (not self.name or name in self.name)
            and name not in self.exclude_name
        )


@dataclass
class ResourceFilter:
    """By the resource's id, how it begins, or labels: each has one of its values, `*` ends a beginning."""

    id: OneOrMore = Field(default_factory=list)
    id_prefix: OneOrMore = Field(default_factory=list)
    labels: Annotated[dict[Text, OneOrMore], Field(max_length=MOST_PARTS)] | None = None

    def narrowed(self) -> Q:
        return Q(resource_id__in=self.id) if self.id else Q()

    def includes(self, event: EventRow) -> bool:
        return self.matches(event["resource"])

    def matches(self, labels: Labels) -> bool:
        id = str(labels.get(RESOURCE_ID, ""))
        return (
            (not self.id or id in self.id)
            and (not self.id_prefix or id.startswith(tuple(self.id_prefix)))
            and all(_has(labels.get(name), values) for name, values in (self.labels or {}).items())
        )


@dataclass
class RelatedFilter(ResourceFilter):
    """Some related resource is like this, in one of these roles."""

    role: OneOrMore = Field(default_factory=list)
    resources_in_roles: Annotated[list[tuple[Text, Text]], Field(max_length=500)] | None = None

    def narrowed(self) -> Q:
        return _one_of(_related(id) for id in self.id)

    def includes(self, event: EventRow) -> bool:
        return any(self.matches(each) for each in event["related"])

    def matches(self, labels: Labels) -> bool:
        wanted = [(id, role) for id, role in self.resources_in_roles or ()]
        return (
            super().matches(labels)
            and (not self.role or labels.get(ROLE) in self.role)
            and (not wanted or (labels.get(RESOURCE_ID), labels.get(ROLE)) in wanted)
        )


@dataclass
class AnyResourceFilter(ResourceFilter):
    """The resource, or a related one, is like this."""

    def narrowed(self) -> Q:
        if not self.id:
            return Q()
        return _one_of([Q(resource_id__in=self.id), *map(_related, self.id)])

    def includes(self, event: EventRow) -> bool:
        return any(self.matches(each) for each in (event["resource"], *event["related"]))


@dataclass
class IdFilter:
    """By the event's id; an empty list means all."""

    id: Annotated[list[UUID], Field(max_length=500)] | None = None

    def narrowed(self) -> Q:
        return Q(id__in=self.id) if self.id else Q()

    def includes(self, event: EventRow) -> bool:
        return not self.id or event["id"] in self.id


@dataclass
class TextFilter:
    """Every word stands somewhere in the event's name or its resources; none that has a `-` before it."""

    query: Annotated[str, Field(max_length=200)] = ""

    def narrowed(self) -> Q:
        return Q()

    def includes(self, event: EventRow) -> bool:
        text = f"{event['event']} {event['resource']} {event['related']} {event['payload']}".lower()
        return all(
            (word[1:] not in text) if word.startswith("-") else word.lstrip("+") in text
            for word in self.query.lower().split()
        )


Part = OccurredFilter | NameFilter | ResourceFilter | IdFilter | TextFilter


@dataclass
class EventFilter:
    """What a client wants to hear of: all of its parts hold. `order` is that of pages."""

    occurred: OccurredFilter | None = None
    event: NameFilter | None = None
    resource: ResourceFilter | None = None
    related: Annotated[list[RelatedFilter], BeforeValidator(_listed), Field(max_length=MOST_PARTS)] = Field(
        default_factory=list
    )
    any_resource: Annotated[
        list[AnyResourceFilter], BeforeValidator(_listed), Field(max_length=MOST_PARTS)
    ] = Field(default_factory=list)
    id: IdFilter | None = None
    text: TextFilter | None = None
    order: str = "DESC"

    def _parts(self) -> list[Part]:
        single = (self.occurred, self.event, self.resource, self.id, self.text)
        return [*(each for each in single if each), *self.related, *self.any_resource]

    def narrowed(self) -> Q:
        """A condition that holds for every event that is meant."""
        found = Q()
        for part in self._parts():
            found &= part.narrowed()
        return found

    def includes(self, event: EventRow) -> bool:
        """Whether this event is meant."""
        return all(part.includes(event) for part in self._parts())


EVENT_FILTER = TypeAdapter(EventFilter)


def _has(value: Any, wanted: Iterable[str]) -> bool:
    """Whether a label's value is one of those wanted; `!` before one means: not this."""
    return any(not _is(value, each[1:]) if each.startswith("!") else _is(value, each) for each in wanted)


def _is(value: Any, wanted: str) -> bool:
    if value is None:
        return False
    return str(value).startswith(wanted[:-1]) if wanted.endswith("*") else str(value) == wanted


def _related(id: str) -> Q:
    return Q(related__contains=[{RESOURCE_ID: id}])


def _one_of(conditions: Iterable[Q]) -> Q:
    """Whether one of them holds; without any, nothing is said."""
    return Q(*conditions, _connector=Q.OR)  # joined one by one, each would copy those before
