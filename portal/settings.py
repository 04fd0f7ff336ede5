"""Settings of the Portal project. Composable: `from portal.settings import *` and change what you need."""

import os
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ

from flows.sdk.signing import result_secrets
from flows.sdk.storage import default_folder
from portal.ops.logs import LOGGING as LOGGING
from portal.ops.stack import Stack, StackError, agent_api_url, find_stack, is_debug, pooler

BASE_DIR = Path(__file__).resolve().parent.parent
STACK = find_stack()
_stack = STACK or Stack(
    database_url="postgresql:///portal", redis_url="redis://localhost:6379/0", secret_key=""
)

DEBUG = is_debug()
SECRET_KEY = _stack.secret_key or secrets.token_urlsafe(50)
PORTAL_URL = _stack.url
_url = urlsplit(PORTAL_URL)
# Where the processes of isolated runs reach the API: perhaps on a network of agents and servers alone.
PORTAL_AGENT_API_URL = agent_api_url(PORTAL_URL)
_hosts = {urlsplit(url).hostname or "localhost" for url in (PORTAL_URL, PORTAL_AGENT_API_URL)}
ALLOWED_HOSTS = [*sorted(_hosts), "localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = [f"{_url.scheme}://{_url.netloc}"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _url.scheme == "https"
SESSION_COOKIE_NAME = "portal_session"  # cookies know no ports: another project on localhost has its own
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if _url.scheme == "https" else 0
APPEND_SLASH = False

INSTALLED_APPS = [
    "flows",
    "runs",
    "agents",  # before django_rq: its `rqworker` command is ours
    "portal",
    "portal.admin.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "django_rq",
    "django_filters",
    "rest_framework",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "portal.access.csp.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portal.access.acting.ActingMiddleware",
    "portal.access.overlong.OverlongMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "portal" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


# A process that is stopped within a transaction keeps its locks, and everybody who needs them waits. Portal's
# own transactions wait for nothing else: one that is silent for so long is ended. Those of flows may think.
# A pooler refuses that option: its own `idle_transaction_timeout` must do.
DATABASE_POOLER = pooler()
DATABASE_IMPATIENCE = "" if DATABASE_POOLER else "-c idle_in_transaction_session_timeout=10s"


def _number(name: str, default: float) -> float:
    """A number of the environment, from 0 on. Raises StackError."""
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise StackError(f"{name} must be a number from 0 on, and is {text!r}.")
    return value


# Servers: what one statement may take, so that no bad filter keeps PostgreSQL busy for minutes; 0: any time.
# Behind a pooler, PostgreSQL itself must be told: see docs/pgbouncer.md.
PORTAL_STATEMENT_SECONDS = min(_number("PORTAL_STATEMENT_SECONDS", 15), 86_400)
_HURRY = "" if DATABASE_POOLER else f"-c statement_timeout={PORTAL_STATEMENT_SECONDS * 1000:.0f}"


def _database(url: str, pooled: bool, impatient: bool) -> dict[str, Any]:
    """Django's settings for `url`. Only web processes pool: a pool does not survive a fork."""
    config: dict[str, Any] = dict(environ.Env.db_url_config(url))
    config["CONN_MAX_AGE"] = 0
    config["CONN_HEALTH_CHECKS"] = True
    options = config.setdefault("OPTIONS", {})
    options.setdefault("connect_timeout", 10)
    if impatient:
        options["options"] = f"{options.get('options', '')} {DATABASE_IMPATIENCE}".strip()
    if pooled:
        options["options"] = f"{options.get('options', '')} {_HURRY}".strip()
        options["pool"] = {"min_size": 2, "max_size": 20, "timeout": 5}
    else:
        config["CONN_MAX_AGE"] = None
    config["DISABLE_SERVER_SIDE_CURSORS"] = DATABASE_POOLER == "transaction"
    return config


IS_WEB_PROCESS = sys.argv[1:2] == ["serve"]
IS_SCHEDULER = sys.argv[1:2] == ["scheduler"]
DATABASES = {"default": _database(_stack.database_url, IS_WEB_PROCESS, IS_WEB_PROCESS or IS_SCHEDULER)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = _stack.redis_url
RQ_QUEUES = {"default": {"URL": REDIS_URL, "SERIALIZER": "rq.serializers.JSONSerializer"}}
CHANNEL_PREFIX = "portal"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": CHANNEL_PREFIX},
    }
}

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # serves from the apps' folders: nothing to collect

_VALIDATION = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{_VALIDATION}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_VALIDATION}.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": f"{_VALIDATION}.CommonPasswordValidator"},
]

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/"

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.access.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["portal.access.permissions.RolePermission"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "portal.api.base.renderers.AlwaysJSON",
    "DEFAULT_RENDERER_CLASSES": ["portal.api.base.renderers.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["portal.api.base.parsers.StrictJSONParser"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "portal.api.base.pagination.KeysetPagination",
    "EXCEPTION_HANDLER": "portal.api.base.errors.handle",
    "UNAUTHENTICATED_USER": None,
}

# What agents sign results with (the first) and verify them with (all), and where they put large ones.
PORTAL_RESULT_KEYS = result_secrets(SECRET_KEY)
PORTAL_RESULT_STORAGE = default_folder()


# Days for which log lines and events are kept; 0: for ever. Runs are kept as their workspace's policies say.
PORTAL_LOG_DAYS = int(_number("PORTAL_LOG_DAYS", 90))
PORTAL_EVENT_DAYS = int(_number("PORTAL_EVENT_DAYS", 30))

# Agents: seconds between SIGTERM and SIGKILL of a cancelled run.
PORTAL_CANCEL_GRACE_SECONDS = _number("PORTAL_CANCEL_GRACE_SECONDS", 30)
# Agents that are asked to stop: seconds until they hand their run back to be run by another.
AGENT_DRAIN_SECONDS = _number("AGENT_DRAIN_SECONDS", 30)
# Agents start again between two runs when they are larger than so many MiB, or after so many runs; 0: never.
AGENT_MAX_MEMORY_MIB = int(_number("AGENT_MAX_MEMORY_MIB", 0))
AGENT_MAX_RUNS = int(_number("AGENT_MAX_RUNS", 0))
# A deployment is paused when this many of its runs in a row have crashed; 0: never.
PORTAL_QUARANTINE_AFTER = int(_number("PORTAL_QUARANTINE_AFTER", 5))
# Agents import these once, so that no run waits for them: what every run needs, and what the user adds.
AGENT_PRELOAD = [
    "flows.sdk.validation",
    "channels_redis.pubsub",
    "portal.api.urls",  # flows call the API of their own process: slots, events, deployments
    *filter(None, (name.strip() for name in os.environ.get("AGENT_PRELOAD", "").split(","))),
]

# Prefect's clients: seconds between the heartbeats of a run. One that misses three has crashed; 0: never.
PORTAL_HEARTBEAT_SECONDS = _number("PORTAL_HEARTBEAT_SECONDS", 180)

# Days after which Prefect workers are forgotten that nothing was heard of; 0: never.
PORTAL_WORKER_DAYS = min(_number("PORTAL_WORKER_DAYS", 1), 36_500)
# The most sockets that a token, or a user's pages, may have open at a server process; 0: any number.
PORTAL_SOCKETS_AT_ONCE = int(_number("PORTAL_SOCKETS_AT_ONCE", 1000))

# The most runs that one backfill may have.
PORTAL_BACKFILL_MOST_RUNS = int(_number("PORTAL_BACKFILL_MOST_RUNS", 1_000_000))
