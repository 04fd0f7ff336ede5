"""Filters of lists. Values are separated by commas."""

from typing import Any

import django_filters
from django.db.models import QuerySet


class ChoiceInFilter(django_filters.BaseInFilter, django_filters.ChoiceFilter):
    """Any of these choices."""


class UUIDInFilter(django_filters.BaseInFilter, django_filters.UUIDFilter):
    """Any of these ids."""


class TextInFilter(django_filters.BaseInFilter, django_filters.CharFilter):
    """Any of these texts."""


class TagsFilter(django_filters.BaseInFilter, django_filters.CharFilter):
    """All of these tags."""

    def filter(self, qs: QuerySet[Any], value: list[str] | None) -> QuerySet[Any]:
        return qs.filter(tags__contains=value) if value else qs
