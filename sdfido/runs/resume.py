"""Which photos are finished, and which process may explain one that is not."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import remove_leftovers
from ..locks import Lock
from . import summary
from .items import Item, fingerprint
from .photo_explainer import PhotoExplainer
from .store import Store

__all__ = ["claim", "differences", "finished", "tidy"]

_LOCK = ".lock"


def claim(item: Item) -> Lock:
    """The lock that a process holds while it explains a photo, so that no other one explains it, too."""
    return Lock(item.folder / _LOCK)


def finished(explainer: PhotoExplainer, item: Item) -> dict[str, Any] | None:
    """The summary of a photo's complete results if an explainer would make the same; otherwise None."""
    about = Store(item.folder).read(item.folder, explainer.files)
    return None if about is None or differences(item, about, explainer.made_with) else about


def differences(item: Item, about: Mapping[str, Any], made_with: Mapping[str, Any]) -> list[str]:
    """Names of what results were made otherwise with; of another method, that is all there is to say."""
    if about.get("method") != made_with["method"]:
        return ["method"]
    if other := summary.differences(about, made_with):
        return other
    if item.path is None:
        return []
    try:
        return summary.differences(about, {"photo_sha256": fingerprint(item.path)})
    except (OSError, ValueError):
        return ["photo_sha256"]


def tidy(folder: Path) -> None:
    """Remove what a killed process has left in the folder of a photo: temporary files, its lock, the empty folder."""
    remove_leftovers(folder)
    with contextlib.suppress(OSError):
        if (folder / _LOCK).exists():
            with Lock(folder / _LOCK).holding() as is_free:
                pass
            if is_free:
                folder.rmdir()
