"""Parameters: conversion, pydantic models, defaults, errors."""

from datetime import date
from typing import Literal, Optional

from prefect import flow
from pydantic import BaseModel, Field


class Window(BaseModel):
    start: date
    days: int = Field(default=7, ge=1)


@flow
def convert(
    window: Window,
    ratio: float,
    mode: Literal["fast", "slow"] = "fast",
    limit: Optional[int] = None,
    names: set[str] = set(),
) -> list:
    return [window.start.isoformat(), window.days, ratio, mode, limit, sorted(names)]


@flow(validate_parameters=False)
def as_given(number: int) -> str:
    return type(number).__name__


if __name__ == "__main__":
    print(convert({"start": "2012-01-01"}, "0.5", limit="3", names=["b", "a", "a"]))
    print(as_given("5"))
    try:
        convert({"start": "2012-01-01", "days": 0}, 1)
    except Exception as error:
        print("refused:", "greater than or equal to 1" in str(error))
    try:
        convert(1, 2, 3, 4, 5, 6)
    except Exception as error:
        print("refused:", type(error).__mro__[1].__name__)

# Prints:
# ['2012-01-01', 7, 0.5, 'fast', 3, ['a', 'b']]
# str
# refused: True
# refused: TypeError
