"""Health for machines: is the process alive, and may it get traffic? Open to all, and tells no secrets."""

import pkgutil
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

import redis
from django.apps import apps
from django.conf import settings
from django.db import ProgrammingError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal.ops.prepare import is_being_prepared


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers: a restart would help nothing that this does not show."""
    return JsonResponse({"status": "alive"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 when requests can be served; else 503, which names what is missing."""
    missing = missing_parts()
    if not missing:
        return JsonResponse({"status": "ready"})
    return JsonResponse({"status": "not ready", "missing": missing}, status=503, headers={"Retry-After": "1"})


def missing_parts() -> dict[str, str]:
    """What keeps this process from serving, by part, in words."""
    missing = {"database": _database_trouble(), "redis": _redis_trouble()}
    return {part: text for part, text in missing.items() if text}


def _database_trouble() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return (
            "" if _is_prepared() else "not prepared for this version: run `manage.py prepare`, or wait for it"
        )
    except Exception:  # whatever the driver or its pool raises, the answer is the same
        return "does not answer"


_prepared = False


def _is_prepared() -> bool:
    """Whether all migrations of this code are applied, and nobody is still at it.

    Once true it stays true for this process: the next version's `prepare` must not take the
    running one out of traffic.
    """
    global _prepared
    if not _prepared:
        _prepared = _migrations_of_code() <= _migrations_applied() and not is_being_prepared()
    return _prepared


@lru_cache(maxsize=1)
def _migrations_of_code() -> set[tuple[str, str]]:
    """App and name of each, by their files: importing them takes 150 ms, and memory for good."""
    found = set()
    for app in apps.get_app_configs():
        module = settings.MIGRATION_MODULES.get(app.label, f"{app.name}.migrations")
        if module is not None and _is_package(module):
            files = pkgutil.iter_modules(import_module(module).__path__)
            found |= {(app.label, file.name) for file in files if not file.ispkg and file.name[0] not in "_~"}
    return found


def _is_package(module: str) -> bool:
    """Whether Django finds migrations there: a folder without `__init__.py` is none to it."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # an app of a single file
        return False
    return spec is not None and spec.origin is not None


def _migrations_applied() -> set[tuple[str, str]]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            return set(cursor.fetchall())
    except ProgrammingError:  # there is no such table yet
        return set()


@lru_cache(maxsize=1)
def _redis() -> "redis.Redis":
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


def _redis_trouble() -> str:
    try:
        _redis().ping()
    except redis.RedisError:
        return "does not answer"
    return ""
