"""Keyset pages: {"results", "next", "previous"}. No COUNT, no OFFSET: page 1,000 costs what page 1 does."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast
from uuid import UUID

import orjson
from django.core.exceptions import ValidationError
from django.db.models import F, Field, Model, Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from flows.catalog.parameters import FieldError
from portal.api.base.errors import InvalidInput

DEFAULT_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list: next to the row with this value of the ordering column, and this id."""

    value: Any
    id: UUID
    backwards: bool = False

    def encode(self) -> str:
        text = orjson.dumps([self.value, self.id, self.backwards])
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, model: type[Model], column: str) -> Self:
        """The cursor that `encode` wrote. Raises InvalidInput for anything else."""
        try:
            value, row_id, backwards = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            field = cast("Field[Any, Any]", model._meta.get_field(column))
            return cls(field.to_python(value), UUID(row_id), bool(backwards))
        except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError, ValidationError):
            raise InvalidInput([FieldError("cursor", "is not one of ours; start again without it")]) from None


class KeysetPagination(BasePagination):
    """Pages by (ordering column, id). The view names `ordering`, `ordering_fields` and `max_limit`.

    `?ordering=-start_time` chooses a column of the allow-list ("-": descending); rows without a
    value come last. `?limit=` is the size of a page. Rows are dicts that hold the column and `id`.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.url = request.build_absolute_uri()
        self.column, self.descending = _ordering(request, view)
        limit = _limit(request, view.max_limit)
        cursor = None
        if request.query_params.get("cursor"):
            cursor = Cursor.decode(request.query_params["cursor"], queryset.model, self.column)
        rows = self._rows(queryset, cursor, limit)
        more, rows = len(rows) > limit, rows[:limit]
        backwards = cursor is not None and cursor.backwards
        if backwards:
            rows.reverse()
        self.has_next = backwards or more
        self.has_previous = more if backwards else cursor is not None
        self.rows = rows
        return rows

    def _rows(self, queryset: QuerySet[Any], cursor: Cursor | None, limit: int) -> list[dict[str, Any]]:
        backwards = cursor is not None and cursor.backwards
        nullable = cast("Field[Any, Any]", queryset.model._meta.get_field(self.column)).null
        if cursor is not None:
            queryset = queryset.filter(_beyond(self.column, cursor, self.descending != backwards, nullable))
        return list(
            queryset.order_by(*_order(self.column, self.descending, backwards, nullable))[: limit + 1]
        )

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "results": data,
                "next": self._link(self.rows[-1:], backwards=False) if self.has_next else None,
                "previous": self._link(self.rows[:1], backwards=True) if self.has_previous else None,
            }
        )

    def _link(self, edge: Sequence[dict[str, Any]], backwards: bool) -> str:
        if not edge:  # everything beyond the cursor is gone: begin again
            return remove_query_param(self.url, "cursor")
        cursor = Cursor(edge[0][self.column], edge[0]["id"], backwards)
        return replace_query_param(self.url, "cursor", cursor.encode())


def _ordering(request: Request, view: Any) -> tuple[str, bool]:
    text = request.query_params.get("ordering") or view.ordering
    column = text.removeprefix("-")
    if column not in view.ordering_fields:
        allowed = ", ".join(view.ordering_fields)
        raise InvalidInput([FieldError("ordering", f"must be one of {allowed}, with or without '-'")])
    return column, text.startswith("-")


def _limit(request: Request, at_most: int) -> int:
    text = request.query_params.get("limit") or str(min(DEFAULT_LIMIT, at_most))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= at_most):
        raise InvalidInput([FieldError("limit", f"must be a number from 1 to {at_most}")])
    return int(text)


def _order(column: str, descending: bool, backwards: bool, nullable: bool) -> list[Any]:
    sign = "-" if descending != backwards else ""
    # Where NULL cannot be, saying where it goes would only keep PostgreSQL from using the index.
    if column == "id" or not nullable:
        return list(dict.fromkeys([f"{sign}{column}", f"{sign}id"]))
    nulls = {"nulls_first": True} if backwards else {"nulls_last": True}
    if descending != backwards:
        return [F(column).desc(**nulls), F("id").desc()]
    return [F(column).asc(**nulls), F("id").asc()]


def _beyond(column: str, cursor: Cursor, falling: bool, nullable: bool) -> Q:
    """The rows after the cursor, walking down (`falling`) or up. Rows without a value are at the end."""
    step = "lt" if falling else "gt"
    further = Q(**{f"id__{step}": cursor.id})
    if column == "id":
        return further
    missing = Q(**{f"{column}__isnull": True})
    if cursor.value is None:
        return (missing & further) | ~missing if cursor.backwards else missing & further
    # The first condition follows from the second; by itself it is a range of the index.
    beyond = Q(**{f"{column}__{step}e": cursor.value}) & (
        Q(**{f"{column}__{step}": cursor.value}) | (Q(**{column: cursor.value}) & further)
    )
    return beyond if cursor.backwards or not nullable else beyond | missing
