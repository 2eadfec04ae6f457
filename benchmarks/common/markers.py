"""Generated blocks in pages that are written by hand.

A page is Markdown. What stands between ``<!-- begin: NAME -->`` and ``<!-- end -->`` is a table or a line that is made
from recorded results; all else is nobody's but the writer's.
"""

import re
from collections.abc import Mapping

Blocks = Mapping[str, str]
"""Text by the name of its markers."""

_BLOCK = re.compile(r"(<!-- begin: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def names(page: str) -> list[str]:
    """The names of a page's markers, in their order."""
    return [match[2] for match in _BLOCK.finditer(page)]


def filled(page: str, blocks: Blocks) -> str:
    """The page with the block of its name between each pair of markers.

    Raises ValueError where a marker names no block.
    """

    def block(match: re.Match[str]) -> str:
        if match[2] not in blocks:
            raise ValueError(f"no block is named {match[2]!r}, must be one of {', '.join(sorted(blocks))}")
        return f"{match[1]}\n{blocks[match[2]]}\n\n{match[3]}"

    return _BLOCK.sub(block, page)
