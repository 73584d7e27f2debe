"""Applies a function to a stream of items in several processes, or in this one; 0 processes mean one per CPU core.

Results come in order, and at most 2 * processes items are read ahead of them. Function and items must pickle.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def parallel_map(function: Callable[[T], R], items: Iterable[T], processes: int) -> Iterator[R]:
    processes = processes or len(os.sched_getaffinity(0))
    if processes == 1:
        yield from map(function, items)
        return
    pending: deque[Future[R]] = deque()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) == 2 * processes:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
