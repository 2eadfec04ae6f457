"""Permutation of an image's patches."""

import torch
from torch import Tensor


def shuffled(height: int, width: int, side: int, generator: torch.Generator) -> Tensor:
    """The order of an image's pixels after its patches have changed places, none of them left where it was.

    Args:
        height, width: of the image, in pixels.
        side: of a patch, in pixels; cut to the image's side where that is shorter.
        generator: of the permutation.

    Returns:
        For each pixel of the shuffled image, flattened, the pixel of the image that it shows: int64 [height * width].

    Raises:
        ValueError: the image does not hold two patches.
    """
    order = torch.arange(height * width, device="cpu").view(height, width)
    result = order.clone()
    patch = (min(side, height), min(side, width))
    grid = (height // patch[0], width // patch[1])
    if grid[0] * grid[1] < 2:
        raise ValueError(f"patch must be small enough for two in a {height}x{width} image, got {side}")
    rows, columns = grid[0] * patch[0], grid[1] * patch[1]
    for ys in (slice(0, rows), slice(rows, height)):
        for xs in (slice(0, columns), slice(columns, width)):
            area = order[ys, xs]
            if not area.numel():
                continue
            tile = (min(patch[0], area.shape[0]), min(patch[1], area.shape[1]))
            across = (area.shape[0] // tile[0], area.shape[1] // tile[1])
            tiles = area.reshape(across[0], tile[0], across[1], tile[1]).transpose(1, 2).flatten(0, 1)
            if len(tiles) > 1:
                tiles = tiles[_cycle(len(tiles), generator)]
                result[ys, xs] = tiles.reshape(*across, *tile).transpose(1, 2).reshape(area.shape)
            else:  # nothing else is of its size
                place = int(torch.randint(grid[0] * grid[1], (1,), generator=generator, device="cpu"))
                y, x = place // grid[1] * patch[0], place % grid[1] * patch[1]
                other = (slice(y, y + tile[0]), slice(x, x + tile[1]))
                result[ys, xs], result[other] = result[other].clone(), area
    return result.flatten()


def _cycle(count: int, generator: torch.Generator) -> Tensor:
    """A random permutation of one cycle: each place gets another's content."""
    places = torch.randperm(count, generator=generator, device="cpu")
    result = torch.empty_like(places)
    result[places] = places.roll(1)
    return result
