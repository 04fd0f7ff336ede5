"""Encryption of what the database must not know: blocks.

Fernet (AES-128-CBC and HMAC-SHA256) under keys that are derived, per workspace, from the secret key. After
a change of it, list the old one in SECRET_KEY_FALLBACKS; what is saved anew is encrypted under the new one.
"""

import base64
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.utils.encoding import force_bytes

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class UnreadableError(ValueError):
    """The document was encrypted under a secret key that is not known here."""


def seal(workspace_id: UUID, document: Any) -> bytes:
    """JSON, encrypted."""
    return _fernet(workspace_id).encrypt(json.dumps(document).encode())


def unseal(workspace_id: UUID, sealed: bytes) -> Any:
    """What was sealed in this workspace. Raises UnreadableError."""
    from cryptography.fernet import InvalidToken

    try:
        return json.loads(_fernet(workspace_id).decrypt(bytes(sealed)))
    except InvalidToken as error:
        raise UnreadableError(
            "It cannot be decrypted: it was saved under another secret key. Save it again, or add the old "
            "key to SECRET_KEY_FALLBACKS."
        ) from error


def _fernet(workspace_id: UUID) -> "MultiFernet":
    """Brings cryptography, which weighs 6 MiB in each process that has loaded it."""
    from cryptography.fernet import Fernet, MultiFernet

    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_derived(key, workspace_id)) for key in keys])


def _derived(secret_key: str | bytes, workspace_id: UUID) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = b"portal blocks " + workspace_id.bytes
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(force_bytes(secret_key))
    return base64.urlsafe_b64encode(key)
