"""Logging: plain lines on the standard error, where every supervisor and container engine looks."""

import logging
from typing import Any


def is_news(record: logging.LogRecord) -> bool:
    """False for answers that are no trouble although their status says so: the 503 of `/api/ready`, since
    whoever asks is told, and asks again in a moment; and the 422 by which Prefect's clients learn that they
    need no CSRF token."""
    request = getattr(record, "request", None)
    return getattr(request, "path", "") not in {"/api/ready", "/api/csrf-token"}


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "filters": {"news": {"()": "django.utils.log.CallbackFilter", "callback": is_news}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["news"]}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        **{name: {"level": "INFO"} for name in ("flows", "runs", "agents", "portal")},
        # Django's own set-up prints only in debug mode; the rest would go to nobody by mail.
        "django": {"handlers": ["console"], "level": "WARNING", "propagate": False},
    },
}
