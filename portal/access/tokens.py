"""Making and finding API tokens. The text is shown once; the database keeps its SHA-256."""

import hashlib
import secrets

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from flows.models import Membership, Workspace
from portal.access.models import ApiToken

MARK = "portal_"
PREFIX_LENGTH = 12
MAX_LENGTH = 200


def create_token(user: AbstractBaseUser, workspace: Workspace, name: str = "") -> tuple[ApiToken, str]:
    """A new token of `user` for `workspace`, and its text, which cannot be read again later."""
    text = MARK + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user_id=user.pk, workspace=workspace, name=name, prefix=text[:PREFIX_LENGTH], digest=_digest(text)
    )
    return token, text


def find_token(text: str) -> ApiToken | None:
    """The token with this text, with its user; None unless it opens something right now.

    It opens nothing when it is revoked or expired (database clock), when its user was deactivated,
    or when the user left the workspace. A superuser belongs to every workspace.
    """
    if not text.startswith(MARK) or len(text) > MAX_LENGTH:
        return None
    membership = Membership.objects.filter(user=OuterRef("user"), workspace=OuterRef("workspace"))
    found: ApiToken | None = (
        ApiToken.objects.select_related("user")
        .filter(digest=_digest(text), revoked__isnull=True, user__is_active=True)
        .filter(Q(expires__isnull=True) | Q(expires__gt=Now()))
        .filter(Q(user__is_superuser=True) | Exists(membership))
        .first()
    )
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
