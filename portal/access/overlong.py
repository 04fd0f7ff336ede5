"""Questions that take too long: PostgreSQL gives up on them, and whoever asked is told how to ask less.

Each statement of a server may take `PORTAL_STATEMENT_SECONDS` (see `portal.settings`).
"""

from collections.abc import Callable

import psycopg
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from rest_framework.permissions import SAFE_METHODS

HOW_TO_ASK_LESS = "Narrow it: a shorter time range, one deployment or flow, fewer states, whole words."
TRY_AGAIN = "Others may hold what it needs: try again in a moment. If it is too large, change less at once."


def took_too_long(error: BaseException) -> bool:
    """Whether PostgreSQL gave up on a statement for its time."""
    return isinstance(error.__cause__, psycopg.errors.QueryCanceled)


def what_happened(asked: bool = True) -> str:
    """For whoever asked, or wanted to change something."""
    seconds = f"{settings.PORTAL_STATEMENT_SECONDS:g} s"
    if asked:
        return f"This question took longer than {seconds}. {HOW_TO_ASK_LESS}"
    return f"This change took longer than {seconds} and was given up. {TRY_AGAIN}"


class OverlongMiddleware:
    """Shows a page that says so instead of an error of ours."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not took_too_long(error):
            return None
        text = what_happened(asked=request.method in SAFE_METHODS)
        context = {**admin.site.each_context(request), "title": "Too much at once", "text": text}
        return render(request, "portal/overlong.html", context, status=503)
