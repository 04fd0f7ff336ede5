"""Who is asking: an API token (Bearer, or Basic as Prefect's clients send it), or a login."""

import base64
import binascii
from typing import Any

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from portal.access.models import ApiToken
from portal.access.prefect_clients import check_client
from portal.access.run_tokens import RunProcess
from portal.access.tokens import find_token
from runs.run_tokens import MARK, RunToken, read_run_token

NOT_VALID = (
    "This token is not valid: it is unknown, revoked or expired, or its user lost access. "
    "Make a new one with `python manage.py token create USER`."
)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`; also `Basic`, whose decoded text is the token.

    Prefect's clients send `PREFECT_API_AUTH_STRING` in the second form. Requests without the
    header are left to the session.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiToken | RunToken] | None:
        header = get_authorization_header(request)
        if not header:
            return None
        text = text_of(header)
        if text.startswith(MARK):
            return _process_of_run(text)
        token = find_token(text)
        if token is None:
            raise AuthenticationFailed(NOT_VALID)
        check_client(request, header.partition(b" ")[0])
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="portal"'


def _process_of_run(text: str) -> tuple[RunProcess, RunToken]:
    token = read_run_token(text)
    if token is None:
        raise AuthenticationFailed("This run's token is not valid: it has expired, or was changed.")
    return RunProcess(token), token


def text_of(header: bytes) -> str:
    """The token in an Authorization header. Raises AuthenticationFailed when there is none."""
    scheme, _, credentials = header.partition(b" ")
    if scheme.lower() == b"bearer":
        return credentials.strip().decode("latin-1")
    if scheme.lower() != b"basic":
        raise AuthenticationFailed("Send the token as `Authorization: Bearer <token>`.")
    try:
        return base64.b64decode(credentials, validate=True).decode("latin-1").strip(":")
    except (binascii.Error, ValueError) as error:
        raise AuthenticationFailed("The Basic credentials are not base64.") from error
