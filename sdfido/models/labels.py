"""Names of classes: which are shown, and which class a user means by a name."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence


def names(label: str) -> list[str]:
    """All names in a label, which are separated by commas; the first is the one that is shown."""
    return [name.strip() for name in label.split(",")]


def find(wanted: str, labels: Sequence[str], model: str, argument: str = "target") -> int:
    """The class that a name means, regardless of case.

    It is searched among the names that are shown, then among all names, then as whole words of a name, then as any
    part of one.

    Args:
        wanted: the name.
        labels: for each class its names, separated by commas.
        model, argument: the classifier's name and what the argument is called, for the message.

    Raises:
        ValueError: no class or several classes have the name; the message lists those that come close.
    """
    sought = wanted.strip().casefold()
    if not sought:
        raise ValueError(f"{argument} must be a class id or name, got an empty text")
    known = [[name.casefold() for name in names(label)] for label in labels]
    word = re.compile(rf"\b{re.escape(sought)}\b")
    for matches in (
        [i for i, own in enumerate(known) if own[0] == sought],
        [i for i, own in enumerate(known) if sought in own],
        [i for i, own in enumerate(known) if any(word.search(name) for name in own)],
        [i for i, own in enumerate(known) if any(sought in name for name in own)],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise ValueError(
                f"{argument} {wanted!r} may mean {_listed(matches, labels)}; give the id or a name that only one class "
                "has"
            )
    owners = {name: i for i, own in reversed(list(enumerate(known))) for name in own}
    near = dict.fromkeys(owners[name] for name in difflib.get_close_matches(sought, owners, n=5))
    hint = f"; close to it: {_listed(list(near), labels)}" if near else ""
    raise ValueError(f"{argument} must be a class id or name of {model}, got {wanted!r}{hint}")


def distinct(labels: Sequence[str], clean: Sequence[str]) -> tuple[str, ...]:
    """Each label with the class's clean name added: in front if several classes share the label's first name."""
    first = Counter(names(label)[0].casefold() for label in labels)
    result = []
    for label, extra in zip(labels, clean, strict=True):
        own, extra = names(label), names(extra)[0]
        others = [name for name in own if name.casefold() != extra.casefold()]
        if first[own[0].casefold()] > 1:
            own = [extra, *others]
        elif len(others) == len(own):
            own = [*own, extra]
        result.append(", ".join(own))
    return tuple(result)


def close_to(name: str, known: Sequence[str]) -> str:
    """The known names that are similar, as the end of a message; empty if there are none."""
    matches = difflib.get_close_matches(name, known, n=5)
    return f"; close to it: {', '.join(matches)}" if matches else ""


def _listed(indices: Sequence[int], labels: Sequence[str], most: int = 8) -> str:
    text = ", ".join(f"{i} ({labels[i]})" for i in indices[:most])
    return text + (f" and {len(indices) - most} more" if len(indices) > most else "")
