"""Opening photos ahead, in a thread, while the classifier works on those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from .items import Item
from .photo_explainer import Opened, PhotoExplainer

__all__ = ["Loaded", "Loader"]

Loaded = tuple[Item, "Future[Opened]"]


class Loader:
    """Reads, decodes and preprocesses photos in threads of its own.

    Args:
        explainer: what opens them.
        threads: how many are opened at once; by default one on CPUs, which the classifier needs, and 4 beside a GPU.
    """

    def __init__(self, explainer: PhotoExplainer, threads: int | None = None) -> None:
        self._explainer = explainer
        threads = threads or (1 if explainer.device.startswith("cpu") else 4)
        self._pool = ThreadPoolExecutor(threads, "sdfido-loader", torch.set_num_threads, (1,))

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, item: Item) -> Loaded:
        """Have a photo opened as soon as a thread is free."""
        return item, self._pool.submit(self._explainer.open, item)

    def ahead(self, items: Iterable[Item], count: int) -> Iterator[Loaded]:
        """The photos in their order, each with ``count`` more behind it under way, so that memory stays bounded."""
        under_way: deque[Loaded] = deque()
        for item in items:
            under_way.append(self.begin(item))
            if len(under_way) > count:
                yield under_way.popleft()
        while under_way:
            yield under_way.popleft()
