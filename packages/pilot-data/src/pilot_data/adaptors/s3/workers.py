"""Many things at once, with a bound on how many are ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, wait
from typing import TypeVar

_Result = TypeVar("_Result")


def in_order(
    pool: Executor, tasks: Iterable[Callable[[], _Result]], ahead: int
) -> Generator[_Result, None, None]:
    """Yield the results of tasks in their order; when it ends, by whatever, none of them runs any more.

    Args:
        pool: What runs them.
        tasks: Taken one by one, when there is room for them.
        ahead: How many are under way, or done and not yet yielded, at most.

    Raises:
        BaseException: What a task raises, in place of its result.
    """
    under_way: deque[Future[_Result]] = deque()
    try:
        for task in tasks:
            under_way.append(pool.submit(task))
            if len(under_way) >= ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()
        wait(under_way)
