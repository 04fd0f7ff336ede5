"""Says for each request who acts in it."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from portal.access.actors import actor_of
from runs.acting import Who, acting_as


class ActingMiddleware:
    """What is done while a request is answered is done by its user."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with acting_as(lambda: _user_of(request)):
            return self._get_response(request)


def _user_of(request: HttpRequest) -> Who | None:
    """REST framework tells the request of its user when it has read the token."""
    actor = actor_of(request)
    return None if actor.user_id is None else actor.as_json()
