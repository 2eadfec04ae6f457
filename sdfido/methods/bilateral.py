"""Total variation of a mask, and the bilateral one, which counts less across the edges of the image.

Both are quadratic forms in the mask's cells that are 0 for constant masks. Such a form is a weighted sum of squared
differences of neighbouring cells::

    m' Q m = sum over pairs (i, k) of -Q[i, k] * (m[i] - m[k]) ** 2

so all that is kept of an image is the weight of each pair: its *stencil*. Pixels are needed once, to make it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops import functional

__all__ = ["OFFSETS", "bilateral_stencil", "plain_stencil", "variation"]

OFFSETS = ((0, 1), (0, 2), (1, -2), (1, -1), (1, 0), (1, 1), (1, 2), (2, -1), (2, 0), (2, 1))
"""Rows and columns from a cell to its neighbours; each pair of cells is met once."""


def variation(masks: Tensor, stencil: Tensor) -> Tensor:
    """The variation of masks [N, h, w] by their stencils [N, offsets, h, w]: [N], differentiable in the masks."""
    total = masks.new_zeros(len(masks))
    for place, (dy, dx) in enumerate(OFFSETS):
        if dy < masks.shape[1] and abs(dx) < masks.shape[2]:
            (here, there), inside = _pair(masks, dy, dx), _pair(stencil[:, place], dy, dx)[0]
            total = total + (inside * (there - here).square()).sum((1, 2))
    return total


def plain_stencil(images: Tensor, cells: tuple[int, int], *, dtype: torch.dtype = torch.float32) -> Tensor:
    """The stencil of the total variation at the cells: [N, offsets, h, w], the same for all images [N, ...].

    ``variation = mean (m[y+1, x] - m[y, x]) ** 2 + mean (m[y, x+1] - m[y, x]) ** 2``
    """
    rows, columns = cells
    stencil = torch.zeros(len(OFFSETS), rows, columns, dtype=torch.float64, device="cpu")
    stencil[OFFSETS.index((1, 0)), :-1] = 1 / max(1, (rows - 1) * columns)
    stencil[OFFSETS.index((0, 1)), :, :-1] = 1 / max(1, rows * (columns - 1))
    return stencil.to(images.device, dtype).expand(len(images), -1, -1, -1)


def bilateral_stencil(
    images: Tensor, cells: tuple[int, int], *, contrast: float = 0.01, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The stencil of the bilateral total variation of masks for images [N, C, H, W]: [N, offsets, h, w].

    With ``M`` the mask upsampled to the image, ``TV`` the total variation at the cells and ``D`` the difference of
    neighbouring pixels, once down and once to the right::

        variation = (TV + sum over both directions of mean exp(-mean_c (D image) ** 2 / contrast) * (D M) ** 2) / 2

    Args:
        images: normalised, floating point.
        cells: rows and columns of a mask, at most those of the image.
        contrast: squared difference of pixels, mean over the channels, at which an edge counts 1/e.
        dtype: of the stencil; it is computed in float64.

    Source: Khorram, Lawson, Li, "iGOS++", CHIL 2021, arXiv 2012.15783. There one direction averages the channels before
    squaring, the other one after the exponential; the quadratic form is ours.
    """
    tall, wide = (
        _upsampling(count, pixels).to(images.device) for count, pixels in zip(cells, images.shape[2:], strict=True)
    )
    stencil = plain_stencil(images, cells, dtype=torch.float64) / 2
    for dim, rows, columns in ((1, tall.diff(dim=0), wide), (2, tall, wide.diff(dim=0))):
        for place, image in enumerate(images.double()):
            edges = image.diff(dim=dim).square().mean(0)
            if edges.numel():  # more than a single row or column of pixels
                stencil[place] += _couplings(torch.exp(-edges / contrast) / (2 * edges.numel()), rows, columns)
    return stencil.to(dtype)


def _upsampling(count: int, pixels: int) -> Tensor:
    """The matrix that upsamples so many cells to pixels: float64 [pixels, cells]."""
    one = torch.eye(count, dtype=torch.float64, device="cpu")
    return functional.upsample(one[:, :, None], (pixels, 1))[:, :, 0].T


def _couplings(weights: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pair weights [offsets, h, w] of ``sum_pq weights[p, q] * (rows m columns')[p, q] ** 2``.

    ``-Q[(i, j), (k, l)] = -sum_pq weights[p, q] rows[p, i] rows[p, k] columns[q, j] columns[q, l]``: two sparse
    products, as a row has few entries that are not 0.
    """
    cells = rows.shape[1], columns.shape[1]
    found = weights.new_zeros(len(OFFSETS), *cells)
    narrowed: dict[int, Tensor] = {}  # by the offset of columns: [P, w - offset]
    for place, (dy, dx) in enumerate(OFFSETS):
        if dy >= cells[0] or abs(dx) >= cells[1]:
            continue
        across, down = _products(columns, abs(dx)), _products(rows, dy)
        if abs(dx) not in narrowed:
            narrowed[abs(dx)] = torch.sparse.mm(across.T.to_sparse(), weights.T).T
        inside = _pair(found[place][None], dy, dx)[0][0]
        inside -= torch.sparse.mm(down.T.to_sparse(), narrowed[abs(dx)])
    return found


def _products(matrix: Tensor, offset: int) -> Tensor:
    """Products of the columns of a matrix that lie so far apart: [rows, columns - offset]."""
    return matrix[:, : matrix.shape[1] - offset] * matrix[:, offset:]


def _pair(cells: Tensor, dy: int, dx: int) -> tuple[Tensor, Tensor]:
    """Views of cells [N, h, w] and of their neighbours by an offset, where both are inside."""
    height, width = cells.shape[1] - dy, cells.shape[2] - abs(dx)
    left, right = max(0, -dx), max(0, dx)
    return cells[:, :height, left : left + width], cells[:, dy : dy + height, right : right + width]
