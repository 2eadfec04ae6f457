"""The bilateral total variation as a quadratic form in the cells is that of the pixels."""

import pytest
import torch

from sdfido.methods.bilateral import OFFSETS, bilateral_stencil, plain_stencil, variation

SIZES = [  # pixels, cells
    ((56, 56), (7, 7)),
    ((56, 56), (28, 28)),
    ((24, 32), (24, 32)),  # a cell a pixel
    ((30, 41), (11, 23)),  # nothing divides
    ((33, 17), (32, 16)),
    ((9, 12), (9, 5)),
    ((1, 9), (1, 4)),
    ((5, 7), (1, 1)),
    ((5, 7), (1, 3)),
    ((5, 7), (2, 1)),
]


def _plain(masks):
    return sum(masks.diff(dim=d).square().mean((1, 2)) if masks.shape[d] > 1 else masks.new_zeros(()) for d in (1, 2))


def _of_pixels(masks, images, contrast=0.01):
    """The definition, pixel by pixel."""
    upsampled = torch.nn.functional.interpolate(masks[:, None], images.shape[2:], mode="bilinear")[:, 0]
    total = _plain(masks)
    for d in (1, 2):
        if upsampled.shape[d] > 1:
            weights = torch.exp(-images.diff(dim=d + 1).square().mean(1) / contrast)
            total = total + (weights * upsampled.diff(dim=d).square()).mean((1, 2))
    return total / 2


def _operands(size, cells, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = 0.1 * torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    return images, torch.rand(2, *cells, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("size", "cells"), SIZES)
def test_it_is_that_of_the_pixels(size, cells):
    images, masks = _operands(size, cells)
    expected = _of_pixels(masks, images)
    found = variation(masks, bilateral_stencil(images, cells, dtype=torch.float64))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-25)
    single = variation(masks.float(), bilateral_stencil(images.float(), cells))
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=1e-25)


@pytest.mark.parametrize(("size", "cells"), SIZES[3:6])
def test_so_is_its_gradient(size, cells):
    images, masks = _operands(size, cells)
    gradients = []
    for function in (
        lambda m: variation(m, bilateral_stencil(images, cells, dtype=torch.float64)),
        lambda m: _of_pixels(m, images),
    ):
        m = masks.clone().requires_grad_()
        gradients.append(torch.autograd.grad(function(m).sum(), m)[0])
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("cells", [(7, 5), (1, 4), (3, 1), (1, 1)])
def test_the_plain_one_is_the_mean_of_squared_differences(cells):
    images, masks = _operands((12, 9), cells)
    found = variation(masks, plain_stencil(images, cells, dtype=torch.float64))
    torch.testing.assert_close(found, _plain(masks).expand(2), rtol=1e-12, atol=0)


def test_constant_masks_have_none():
    """Exactly: nothing is left of large numbers that cancel."""
    images, _ = _operands((30, 41), (11, 23))
    masks = torch.full((2, 11, 23), 0.7)
    assert variation(masks, bilateral_stencil(images, (11, 23))).tolist() == [0, 0]


def test_a_ramp_in_a_flat_image():
    """Cells as large as pixels, slope 1/10 to the right: the plain and the weighted half are both 0.01 / 2."""
    masks = torch.arange(6, dtype=torch.float64).expand(1, 4, 6) / 10
    stencil = bilateral_stencil(torch.zeros(1, 3, 4, 6), (4, 6), dtype=torch.float64)
    torch.testing.assert_close(variation(masks, stencil), torch.tensor([0.01], dtype=torch.float64))


def test_edges_of_the_image_are_free():
    """A step of the mask at a strong edge of the image costs only the plain half."""
    images = torch.zeros(1, 3, 8, 8)
    images[..., 4:] = 5
    at_edge, elsewhere = torch.zeros(2, 1, 8, 8, dtype=torch.float64)
    at_edge[..., 4:], elsewhere[..., 3:] = 1, 1
    stencil = bilateral_stencil(images, (8, 8), dtype=torch.float64)
    torch.testing.assert_close(variation(at_edge, stencil) * 2, variation(elsewhere, stencil))


def test_each_pair_of_neighbours_is_met_once():
    assert len({*OFFSETS, *((-dy, -dx) for dy, dx in OFFSETS)}) == 2 * len(OFFSETS) == 20
