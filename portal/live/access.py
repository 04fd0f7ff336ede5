"""Tells the sockets of a user that what he may see has changed: they check it again, and close if they must.

The hint may be lost, and changes by `QuerySet.update` are not seen: sockets also check every minute.
"""

import logging
from typing import Any

from channels.auth import get_user
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.utils.module_loading import import_string
from redis.exceptions import RedisError

from agents import doorbell
from flows.models import Membership

logger = logging.getLogger(__name__)

JUST_LOGGED_IN = frozenset({"last_login"})


def access_group(user_id: object) -> str:
    """The group of all sockets of this user."""
    return f"access.{user_id}"


def watch() -> None:
    """Tell of every change from now on: of users, of members, and of sessions that end."""
    for signal in (post_save, post_delete):
        signal.connect(_user_changed, sender=get_user_model(), dispatch_uid="portal.access.user")
        signal.connect(_member_changed, sender=Membership, dispatch_uid="portal.access.member")
    post_delete.connect(_session_ended, sender=Session, dispatch_uid="portal.access.session")


async def user_now(session: SessionBase) -> AbstractBaseUser | AnonymousUser:
    """Whom this session is of, read anew: it may have ended, and its user may have changed since."""
    store = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    found: AbstractBaseUser | AnonymousUser = await get_user({"session": store(session.session_key)})
    return found


def _user_changed(instance: Any, update_fields: Any = None, **rest: Any) -> None:
    if update_fields != JUST_LOGGED_IN:
        _tell(instance.pk)


def _member_changed(instance: Membership, **rest: Any) -> None:
    _tell(instance.user_id)


def _session_ended(instance: Session, **rest: Any) -> None:
    if user_id := instance.get_decoded().get(SESSION_KEY):
        _tell(user_id)


def _tell(user_id: object) -> None:
    transaction.on_commit(lambda: _publish(access_group(user_id)))


def _publish(group: str) -> None:
    body = get_channel_layer().serialize({"type": "access.changed"})
    try:
        doorbell.connection().publish(f"{settings.CHANNEL_PREFIX}__group__{group}", body)
    except RedisError as error:
        logger.warning("Sockets were not told that their user's access changed: %s", error)
