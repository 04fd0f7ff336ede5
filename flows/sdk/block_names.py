"""How blocks and their types are called."""

import re

TYPE_OF_SECRETS = "secret"
NAME_PATTERN = r"\A[a-z0-9]+(-[a-z0-9]+)*\Z"
NAME_RULE = "Use lower-case letters, digits and single dashes between them."


def checked_block_name(name: str) -> str:
    """Raises ValueError."""
    if not re.match(NAME_PATTERN, name) or len(name) > 200:
        raise ValueError(f"{name!r} cannot be the name of a block. {NAME_RULE}")
    return name
