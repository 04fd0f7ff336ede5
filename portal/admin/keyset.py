"""A change list without COUNT and OFFSET: page 1,000 costs what page 1 does."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.admin.views.main import ChangeList
from django.db.models import Q
from django.http import HttpRequest

MARK = "~"


def cursor_of(row: Any) -> str:
    """The place of `row` in a list that is ordered by `created` and `id`, newest first."""
    return f"{row.created.isoformat()}{MARK}{row.pk}"


def older_than(cursor: str) -> Q:
    """What comes after the cursor's row; everything, if it is not one of ours."""
    moment, _, pk = cursor.partition(MARK)
    try:
        created, row_id = datetime.fromisoformat(moment), UUID(pk)
    except ValueError:
        return Q()
    if created.tzinfo is None:
        return Q()
    return Q(created__lte=created) & (Q(created__lt=created) | Q(id__lt=row_id))


class KeysetChangeList(ChangeList):
    """Its `p` is the cursor of the last row before the page; it must be ordered by -created, -id."""

    cursor_of = staticmethod(cursor_of)
    older_than = staticmethod(older_than)
    newest_page_url = ""
    older_page_url = ""

    def get_results(self, request: HttpRequest) -> None:
        cursor = request.GET.get("p", "")
        page = self.queryset.filter(self.older_than(cursor)) if cursor else self.queryset
        rows = list(page[: self.list_per_page + 1])
        self.result_list = rows[: self.list_per_page]
        if len(rows) > self.list_per_page:
            self.older_page_url = self.get_query_string({"p": self.cursor_of(self.result_list[-1])})
        if cursor:
            self.newest_page_url = self.get_query_string(remove=["p"])
        self.result_count = len(self.result_list)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = bool(self.result_list)
        self.can_show_all = self.multi_page = False
        self.paginator = self.model_admin.get_paginator(request, self.result_list, self.list_per_page)
