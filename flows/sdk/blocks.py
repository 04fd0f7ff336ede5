"""Blocks: configuration documents with a type, stored encrypted on the server. Brings pydantic."""

import inspect
import re
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, SecretStr

from flows.sdk.backend import current_backend
from flows.sdk.block_names import checked_block_name
from flows.sdk.calling import Ask, either
from flows.sdk.steps import Steps, drive_async

_types: dict[str, type["Block"]] = {}


class Block(BaseModel):
    """Base of configuration documents: subclass it with fields, `save` an instance, `load` it in flows.

    `SecretStr` fields are shown as stars wherever a block is printed. The type's name is the class's with
    dashes (`DatabaseLogin`: `database-login`), or `_block_type_slug`. In async code the calls are awaited.
    """

    model_config = ConfigDict(extra="ignore")
    _block_type_slug: ClassVar[str | None] = None
    _block_type_name: ClassVar[str | None] = None
    _description: ClassVar[str | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        _types[cls.get_block_type_slug()] = cls

    @classmethod
    def get_block_type_slug(cls) -> str:
        """How the type is called on the server."""
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+", "-", cls.__name__)
        return cls._block_type_slug or words.lower().strip("-")

    def block_initialization(self) -> None:
        """Called when a block was made or loaded; for subclasses."""

    def model_post_init(self, context: Any, /) -> None:
        self.block_initialization()

    @classmethod
    def get_block_type_name(cls) -> str:
        """How the type is called for people."""
        return cls._block_type_name or cls.__name__

    @classmethod
    def get_description(cls) -> str | None:
        """What the type is for: `_description`, else the first paragraph of the docstring."""
        text = cls._description or inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
        return text or None

    @classmethod
    def load(cls, name: str, validate: bool = True) -> Any:
        """The stored block `name`; `Block.load("type/name")` finds the class by its type.

        `validate=False` takes it as it is stored, also if it does not fit the class any more.
        Raises ValueError if there is no such block or type, pydantic's ValidationError if it does not fit.
        """
        return either(cls._load(name, validate))

    @classmethod
    async def aload(cls, name: str, validate: bool = True) -> Self:
        """As `load`."""
        return await drive_async(cls._load(name, validate))

    def save(self, name: str, overwrite: bool = False) -> Any:
        """Store the block; returns its name. Raises AlreadyThereError (a ValueError) unless `overwrite`."""
        return either(self._save(name, overwrite))

    async def asave(self, name: str, overwrite: bool = False) -> str:
        """As `save`."""
        return await drive_async(self._save(name, overwrite))

    @classmethod
    def delete(cls, name: str) -> Any:
        """Delete the stored block. Raises ValueError if there is none."""
        return either(cls._delete(name))

    @classmethod
    async def adelete(cls, name: str) -> None:
        """As `delete`."""
        await drive_async(cls._delete(name))

    @classmethod
    def _load(cls, name: str, validate: bool) -> Steps[Self]:
        kind, rest = cls._named(name)
        document = yield Ask(current_backend().blocks.load, kind.get_block_type_slug(), rest)
        if document is None:
            raise ValueError(f"There is no block {kind.get_block_type_slug()}/{rest}.")
        return cast(Self, kind.model_validate(document) if validate else kind.model_construct(**document))

    def _save(self, name: str, overwrite: bool) -> Steps[str]:
        checked_block_name(name)
        slug = checked_block_name(self.get_block_type_slug())
        yield Ask(current_backend().blocks.save, slug, name, revealed(self), overwrite)
        return name

    @classmethod
    def _delete(cls, name: str) -> Steps[None]:
        kind, rest = cls._named(name)
        there = yield Ask(current_backend().blocks.delete, kind.get_block_type_slug(), rest)
        if not there:
            raise ValueError(f"There is no block {kind.get_block_type_slug()}/{rest}.")

    @classmethod
    def _named(cls, name: str) -> tuple[type["Block"], str]:
        """The class and the name that `name` or `type/name` means."""
        slug, slash, rest = name.rpartition("/")
        if not slash:
            return cls, name
        kind = _types.get(slug)
        if kind is None or not issubclass(kind, cls):
            raise ValueError(
                f"There is no block class of type {slug!r} here: import the module that defines it."
            )
        return kind, rest


def block_type(slug: str) -> type[Block] | None:
    """The class of a type of blocks, if it is defined in this process."""
    return _types.get(slug)


class Secret(Block):
    """A value that is never shown: `Secret(value="...").save("api-key")`, `Secret.load("api-key").get()`."""

    value: SecretStr

    def get(self) -> str:
        """The value in the clear."""
        return self.value.get_secret_value()


def revealed(block: Block) -> dict[str, Any]:
    """The block as JSON with its secrets in the clear, for the encrypted store alone."""
    shown: dict[str, Any] = block.model_dump(mode="json")
    return {name: _clear(getattr(block, name), shown[name]) for name in shown}


def _clear(value: Any, shown: Any) -> Any:
    """`shown`, with what is a secret in `value` put back."""
    if hasattr(value, "get_secret_value"):
        secret = value.get_secret_value()
        return secret.decode() if isinstance(secret, bytes) else secret
    if isinstance(value, BaseModel):
        return {name: _clear(getattr(value, name), shown[name]) for name in shown}
    if isinstance(value, dict) and isinstance(shown, dict):
        return {str(name): _clear(item, shown.get(str(name))) for name, item in value.items()}
    if isinstance(value, list | tuple) and isinstance(shown, list):
        return [_clear(item, other) for item, other in zip(value, shown, strict=True)]
    return shown
