"""Signatures of stored results.

Whoever can write to the database or the result folder could otherwise plant a pickle, which is code, in
every later run. Agents open only what was signed with a key of theirs; the server opens nothing.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Self

_SIZE = 32  # bytes of a SHA-256


class Signer:
    """Signs with the first of its keys and verifies with all, so that keys can be changed without a gap.

    Each secret is turned into a key of its own for `context` (a workspace) by HKDF: what was signed in one
    workspace does not verify in another. Raises ValueError without a secret.
    """

    def __init__(self, secrets: Sequence[str], context: str = "") -> None:
        if not secrets:
            raise ValueError("Results are signed, so there must be at least one key.")
        self.keys = [_derived(secret.encode(), context.encode()) for secret in secrets]

    @classmethod
    def of_answer(cls, answer: Mapping[str, Sequence[str]]) -> Self:
        """With the keys of one workspace as a server hands them out, which knows the secrets."""
        signer = cls.__new__(cls)
        signer.keys = [bytes.fromhex(key) for key in answer["keys"]]
        return signer

    def as_answer(self) -> dict[str, list[str]]:
        """The keys, for a process that may sign in this workspace. The secrets cannot be told from them."""
        return {"keys": [key.hex() for key in self.keys]}

    @classmethod
    def of_environment(cls) -> "Signer":
        """Of `PORTAL_RESULT_KEYS` (comma-separated), else `PORTAL_SECRET_KEY`, else a key of this process."""
        return cls(result_secrets(os.environ.get("PORTAL_SECRET_KEY", "")) or [os.urandom(32).hex()])

    def sign(self, key: str, content: bytes) -> bytes:
        """`content` behind its signature, which holds for the result of this cache key only."""
        return _mac(self.keys[0], key, content) + content

    def verified(self, key: str, signed: bytes) -> bytes | None:
        """The content of what `sign` made; None if it was altered or signed by somebody else."""
        from hmac import compare_digest

        mac, content = signed[:_SIZE], signed[_SIZE:]
        if any(compare_digest(mac, _mac(secret, key, content)) for secret in self.keys):
            return content
        return None


def result_secrets(default: str) -> list[str]:
    """The secrets of `PORTAL_RESULT_KEYS`; `default`, if it is not empty, when there are none."""
    given = [secret.strip() for secret in os.environ.get("PORTAL_RESULT_KEYS", "").split(",")]
    return [secret for secret in given if secret] or ([default] if default else [])


def _derived(secret: bytes, context: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869), one block."""
    import hmac

    extracted = hmac.digest(b"portal results", secret, "sha256")
    return hmac.digest(extracted, context + b"\x01", "sha256")


def _mac(secret: bytes, key: str, content: bytes) -> bytes:
    """Over the key's length, too, so that no byte can move between key and content."""
    import hashlib
    import hmac

    name = key.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(content).digest()
    # Not hmac.digest: it lets other threads in each time, which costs a flow of many threads the most.
    return hmac.new(secret, len(name).to_bytes(4, "big") + name + digest, "sha256").digest()
