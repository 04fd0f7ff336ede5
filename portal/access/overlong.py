"""Questions that take too long: PostgreSQL gives up on them, and whoever asked is told how to ask less.

Each statement of a server may take `PORTAL_STATEMENT_SECONDS` (see `portal.settings`).
"""

from collections.abc import Callable

import psycopg
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

HOW_TO_ASK_LESS = "Narrow it: a shorter time range, one deployment or flow, fewer states, whole words."


def took_too_long(error: BaseException) -> bool:
    """Whether PostgreSQL gave up on a statement for its time."""
    return isinstance(error.__cause__, psycopg.errors.QueryCanceled)


def what_happened() -> str:
    """For whoever asked."""
    return f"This question took longer than {settings.PORTAL_STATEMENT_SECONDS:g} s. {HOW_TO_ASK_LESS}"


class OverlongMiddleware:
    """Shows a page that says so instead of an error of ours."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not took_too_long(error):
            return None
        context = {**admin.site.each_context(request), "title": "Too much at once", "text": what_happened()}
        return render(request, "portal/overlong.html", context, status=503)
