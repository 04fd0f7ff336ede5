"""Health for machines: is the process alive, and may it get traffic? Open to all, and tells no secrets."""

from functools import lru_cache

import redis
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
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
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        _prepared = not pending and not is_being_prepared()
    return _prepared


@lru_cache(maxsize=1)
def _redis() -> "redis.Redis":
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


def _redis_trouble() -> str:
    try:
        _redis().ping()
    except redis.RedisError:
        return "does not answer"
    return ""
