"""Text of user code made such that PostgreSQL can hold it: what is odd in it must not cost the run."""

from collections.abc import Iterable

MOST_MESSAGE_CHARACTERS = 1_000_000
MOST_NAME_CHARACTERS = 200  # of a name or a tag


def clean(text: str) -> str:
    """Text that PostgreSQL can hold: no NUL, no lone surrogates, at most a million characters."""
    if len(text) > MOST_MESSAGE_CHARACTERS:
        left_out = len(text) - MOST_MESSAGE_CHARACTERS
        text = f"{text[:MOST_MESSAGE_CHARACTERS]}… ({left_out} more characters left out)"
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags that PostgreSQL can hold, each once."""
    return tuple(dict.fromkeys(clean(tag)[:MOST_NAME_CHARACTERS] for tag in tags))
