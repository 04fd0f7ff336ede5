"""Async flows and tasks, side by side and mixed with sync ones."""

import asyncio

from prefect import flow, task


@task(retries=1)
async def fetch(page: int) -> str:
    await asyncio.sleep(0.01)
    return f"page {page}"


@task
def count(pages: list[str]) -> int:
    return len(pages)


@flow
async def section(start: int) -> list[str]:
    return await asyncio.gather(*[fetch(page) for page in range(start, start + 3)])


@flow
async def crawl() -> int:
    first, second = await asyncio.gather(section(1), section(4))
    futures = fetch.map([7, 8])
    return count(first + second + [future.result() for future in futures])


if __name__ == "__main__":
    print(asyncio.run(crawl()))

# Prints:
# 8
