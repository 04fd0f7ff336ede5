"""Methods, class methods and static methods as flows and tasks; generators."""

from prefect import flow, task


class Shop:
    currency = "EUR"

    def __init__(self, prices: dict) -> None:
        self.prices = prices

    @task
    def price(self, name: str) -> int:
        return self.prices[name]

    @flow
    def checkout(self, names: list[str]) -> str:
        return f"{sum(self.price(name) for name in names)} {self.currency}"

    @classmethod
    @flow
    def opening(cls) -> str:
        return f"pay in {cls.currency}"

    @staticmethod
    @flow
    def closing(hour: int) -> str:
        return f"closed at {hour}"


@task
def pages(count: int):
    for page in range(count):
        yield page


@flow
def book():
    yield from pages(3)


if __name__ == "__main__":
    print(Shop({"tea": 3, "cup": 4}).checkout(["tea", "cup", "tea"]))
    print(Shop.opening(), "|", Shop.closing("20"))
    print(list(book()))

# Prints:
# 10 EUR
# pay in EUR | closed at 20
# [0, 1, 2]
