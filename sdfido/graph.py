"""Structured attention graphs: minimal sufficient sets of patches, and what their subsets keep."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from . import json_file
from .checks import check_kind, check_list, check_number, check_size, check_tensor, set_number
from .files import replacing

if TYPE_CHECKING:
    import networkx

__all__ = ["Edge", "PatchGraph"]

_FORMAT = "sdfido graph 1"


class Edge(NamedTuple):
    """One patch removed."""

    parent: int  #: place of a node
    child: int  #: place of the node without the patch
    removed: int  #: the patch


@dataclass(frozen=True)
class PatchGraph:
    """What sets of patches keep of an image's confidence: a directed acyclic graph without equal nodes.

    Patches are numbered from 0, row by row. An edge leads from each node to each other that lacks just one of its
    patches. Roots are the nodes that no edge leads to: the minimal sufficient sets.

    Raises:
        ValueError: sets and shares do not fit together, a set is not of patches of the grid, or there are two equal.
    """

    grid: tuple[int, int]  #: rows and columns of patches
    nodes: tuple[tuple[int, ...], ...]  #: the patches of each node, ascending
    shares: tuple[float, ...]  #: part of the image's confidence that each node keeps
    kept_share: float = 0.9  #: that of a sufficient set, at least

    def __post_init__(self) -> None:
        rows, columns = check_size("grid", check_kind("grid", self.grid, tuple, "a pair (rows, columns)"))
        nodes = [tuple(node) for node in check_list("nodes", self.nodes, (tuple, list), "the patches of each node")]
        patches = [tuple(check_number("nodes", patch, int) for patch in node) for node in nodes]
        shares = [check_number("shares", share) for share in check_list("shares", self.shares, object, "numbers")]
        object.__setattr__(self, "nodes", tuple(patches))
        object.__setattr__(self, "shares", tuple(shares))
        set_number(self, "kept_share")
        last = rows * columns - 1
        if len(self.nodes) != len(self.shares):
            raise ValueError(f"shares must be one for each of {len(self.nodes)} nodes, got {len(self.shares)}")
        for node in self.nodes:
            if list(node) != sorted(set(node)) or any(not 0 <= patch <= last for patch in node):
                raise ValueError(f"nodes must be ascending patches in 0..{last}, got {node}")
        if len(set(self.nodes)) < len(self.nodes):
            raise ValueError("nodes must differ from each other, got two that are equal")

    @classmethod
    def of(cls, nodes: Tensor, shares: Tensor, kept_share: float = 0.9) -> PatchGraph:
        """The graph that parts of an explanation hold.

        Args:
            nodes: whether each patch is in each node, bool [M, rows, columns].
            shares: of the nodes [M], NaN where there is none.
            kept_share: that of a sufficient set.
        """
        check_tensor("nodes", nodes, "bool [M, rows, columns]", 3, values=True, filled=1)
        check_tensor("shares", shares, "[M]", 1, floating=True, values=True)
        if nodes.dtype != torch.bool:
            raise TypeError(f"nodes must be bool [M, rows, columns], got {nodes.dtype}")
        if len(nodes) != len(shares):
            raise ValueError(f"shares must be one for each of {len(nodes)} nodes, got {list(shares.shape)}")
        there = ~shares.isnan()
        sets = [tuple(node.flatten().nonzero()[:, 0].tolist()) for node in nodes[there].cpu()]
        return cls((nodes.shape[1], nodes.shape[2]), tuple(sets), tuple(shares[there].tolist()), kept_share)

    @functools.cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, by parent, then by child."""
        places = {node: place for place, node in enumerate(self.nodes)}
        found = [
            Edge(parent, places[rest], patch)
            for parent, node in enumerate(self.nodes)
            for patch in node
            if (rest := tuple(each for each in node if each != patch)) in places
        ]
        return tuple(sorted(found))

    @property
    def roots(self) -> tuple[int, ...]:
        """Places of the nodes that no edge leads to, in their order."""
        children = {edge.child for edge in self.edges}
        return tuple(place for place in range(len(self.nodes)) if place not in children)

    @property
    def formula(self) -> str:
        """What suffices, in words: "P3 and P10, or P24 and P31"."""
        return ", or ".join(" and ".join(f"P{patch}" for patch in self.nodes[root]) or "nothing" for root in self.roots)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        roots = set(self.roots)
        return {
            "format": _FORMAT,
            "grid": list(self.grid),
            "kept_share": self.kept_share,
            "formula": self.formula,
            "nodes": [
                {"id": place, "patches": list(node), "share": share, "root": place in roots}
                for place, (node, share) in enumerate(zip(self.nodes, self.shares, strict=True))
            ],
            "edges": [edge._asdict() for edge in self.edges],
        }

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> PatchGraph:
        """The graph that ``to_dict`` wrote down; edges and roots follow from the nodes.

        Raises:
            ValueError: the table is none of a graph; the message says why.
        """
        check_kind("table", table, Mapping, "what to_dict returned")
        try:
            if table["format"] != _FORMAT:
                raise ValueError(f"its format is {table['format']!r}, not {_FORMAT!r}")
            rows, columns = map(int, table["grid"])
            nodes = tuple(tuple(map(int, node["patches"])) for node in table["nodes"])
            shares = tuple(float(node["share"]) for node in table["nodes"])
            if not all(map(math.isfinite, shares)):
                raise ValueError("its shares must be finite")
            return cls((rows, columns), nodes, shares, float(table["kept_share"]))
        except (KeyError, TypeError, ValueError) as error:
            what = f"it has no entry {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"table is not a saved graph: {what}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything as JSON; the file appears whole or not at all."""
        with replacing(path) as part:
            part.write_text(json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PatchGraph:
        """Read what ``save`` wrote.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not a saved graph; the message says why.
        """
        try:
            return cls.from_dict(json_file.read(path))
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)!r} is not a saved graph: {error}") from error

    def to_networkx(self) -> networkx.DiGraph:
        """A ``networkx.DiGraph``: nodes have ``patches``, ``share`` and ``root``, edges ``removed``.

        Raises:
            ImportError: networkx is not installed.
        """
        try:
            import networkx
        except ModuleNotFoundError as error:
            raise ImportError(
                f"to_networkx needs the package {error.name}; install it with: pip install networkx"
            ) from error
        graph, table = networkx.DiGraph(grid=self.grid, formula=self.formula), self.to_dict()
        for node in table["nodes"]:
            graph.add_node(node["id"], patches=tuple(node["patches"]), share=node["share"], root=node["root"])
        for edge in self.edges:
            graph.add_edge(edge.parent, edge.child, removed=edge.removed)
        return graph
