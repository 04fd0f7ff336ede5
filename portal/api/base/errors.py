"""One shape for every error: {"detail": text, "errors": [{"field", "message"}] where it helps}."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pydantic
import redis
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, IntegrityError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response

from flows.catalog.parameters import FieldError
from portal.access.overlong import took_too_long, what_happened
from runs.outages import is_outage

logger = logging.getLogger(__name__)

RETRY_AFTER = 2  # seconds


class InvalidInput(exceptions.APIException):
    """The request cannot be understood as it stands. Says what is wrong, field by field."""

    status_code = 422
    default_detail = "The request is not valid."

    def __init__(self, errors: Iterable[FieldError] = (), detail: str | None = None) -> None:
        super().__init__(detail)
        self.errors = list(errors)


class Conflict(InvalidInput):
    """The request is understood, but what is there does not allow it."""

    status_code = 409
    default_detail = "This is not possible now."


class Gone(InvalidInput):
    """It was there, and is not any more: asking again does not help."""

    status_code = 410
    default_detail = "This is gone."


class Locked(exceptions.APIException):
    """Somebody else has it now; the same request may work in `retry_after` seconds."""

    status_code = 423
    default_detail = "Locked"

    def __init__(self, retry_after: float) -> None:
        super().__init__()
        self.retry_after = retry_after


class TooLarge(exceptions.APIException):
    """More bytes than Portal takes in one request."""

    status_code = 413
    default_detail = "The request is too large."


class Unavailable(exceptions.APIException):
    """A server behind us does not answer; the same request may work in a moment."""

    status_code = 503
    default_detail = "The database or Redis does not answer at the moment. Try again shortly."


def problems_of(error: pydantic.ValidationError) -> list[FieldError]:
    """What pydantic found wrong, field by field; the first twenty."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:20]
    return [FieldError(".".join(map(str, each["loc"])) or "body", each["msg"]) for each in found]


def first_problem(error: pydantic.ValidationError) -> str:
    """The first of what pydantic found wrong, in a line."""
    first = problems_of(error)[0]
    return f"{first.field}: {first.message}"


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler. None (a 500) is left for real mistakes of ours."""
    known = _as_api_error(error, context)
    if known is None:
        return None
    if isinstance(error, IntegrityError):
        logger.warning("API conflict: %s", error)
    if isinstance(known, Unavailable):
        logger.warning("API unavailable: %s", error)
    return Response(_body(known), status=known.status_code, headers=_headers(known))


def _as_api_error(error: Exception, context: Mapping[str, Any]) -> exceptions.APIException | None:
    match error:
        case exceptions.ValidationError():
            return InvalidInput(_flatten(error.detail))
        case DjangoValidationError():
            return InvalidInput(_flatten(getattr(error, "message_dict", None) or error.messages))
        case exceptions.APIException():
            return error
        case Http404():
            return exceptions.NotFound("There is nothing here, or you may not see it.")
        case DjangoPermissionDenied():
            return exceptions.PermissionDenied()
        case DataError():
            return InvalidInput(detail="A value is out of range, or contains characters we cannot store.")
        case IntegrityError():
            return Conflict(detail="Something here was made, changed or deleted meanwhile. Try again.")
        case _ if took_too_long(error):
            return _overlong(context)
        case _ if is_outage(error) or isinstance(error, redis.RedisError):
            return Unavailable()
    return None


def _overlong(context: Mapping[str, Any]) -> exceptions.APIException:
    """A question that is too large stays so: clients must not repeat it, as they do after a 503."""
    request, action = context["request"], getattr(context["view"], "action", "") or ""
    asks = request.method in SAFE_METHODS or action.startswith(("filter", "count"))
    return InvalidInput(detail=what_happened()) if asks else Unavailable()


def _body(error: exceptions.APIException) -> dict[str, Any]:
    fields = error.errors if isinstance(error, InvalidInput) else []
    body: dict[str, Any] = {"detail": _text(error, fields)}
    if fields:
        body["errors"] = [{"field": each.field, "message": each.message} for each in fields]
    if error.status_code == 401:
        body["exception_message"] = "Unauthorized"  # Prefect's clients look for this word
    return body


def _text(error: exceptions.APIException, fields: list[FieldError]) -> str:
    if not fields:
        return str(error.detail)
    return f"{error.detail} " + "; ".join(f"{each.field}: {each.message}" for each in fields[:3])


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    challenge = getattr(error, "auth_header", None)
    if challenge:
        headers["WWW-Authenticate"] = str(challenge)
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(RETRY_AFTER)
    if isinstance(error, Locked):
        headers["Retry-After"] = f"{error.retry_after:.3f}"  # Prefect's clients fail without it
    return headers


def _flatten(detail: Any, field: str = "") -> Iterator[FieldError]:
    """DRF's and Django's nested messages as (dotted field, message) pairs."""
    if isinstance(detail, Mapping):
        for key, below in detail.items():
            yield from _flatten(below, f"{field}.{key}" if field else str(key))
    elif isinstance(detail, list | tuple):
        for each in detail:
            yield from _flatten(each, field)
    else:
        name = field.removesuffix("non_field_errors").removesuffix("__all__").rstrip(".")
        yield FieldError(name or "body", str(detail))
