"""What is asked of Prefect's clients beyond a valid token."""

import re

from rest_framework.exceptions import AuthenticationFailed, ParseError
from rest_framework.request import Request

OLDEST = (0, 8, 0)  # of their API, as the reference server: Prefect 3.0
USE_AUTH_STRING = (
    "Unauthorized: set PREFECT_API_AUTH_STRING to the token, and unset PREFECT_API_KEY. With the key alone "
    "a Prefect client sends its events without it, and all of its task runs would be lost."
)


def check_client(request: Request, scheme: bytes) -> None:
    """Turn away clients that we would misunderstand. `scheme` is how they sent their token.

    Raises ParseError for an API version that is too old or none, AuthenticationFailed for a Prefect client
    whose HTTP requests alone carry a token.
    """
    version = request.headers.get("X-Prefect-Api-Version")
    if version is not None and _parsed(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ParseError(f"This client speaks API version {version[:20]}; at least {oldest} is needed.")
    if scheme.lower() == b"bearer" and request.headers.get("User-Agent", "").startswith("prefect/"):
        raise AuthenticationFailed(USE_AUTH_STRING)


def _parsed(version: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){2}", version):
        raise ParseError("X-PREFECT-API-VERSION must be three numbers, such as 0.8.4.")
    return tuple(map(int, version.split(".")))
