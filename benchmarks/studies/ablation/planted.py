"""A classifier whose evidence is planted: it sees one box of one image and nothing else."""

import torch
from torch import Tensor, nn

Box = tuple[int, int, int, int]


class Planted(nn.Module):
    """Two classes; the first one's logit is the match of one box of an image with its own texture.

    Args:
        image: [C, H, W], whose box is the evidence.
        box: first row, first column, last row + 1, last column + 1.
    """

    def __init__(self, image: Tensor, box: Box) -> None:
        super().__init__()
        top, left, bottom, right = box
        self.truth = torch.zeros(image.shape[-2:], dtype=torch.bool)
        self.truth[top:bottom, left:right] = True
        texture = (image - image.mean((-2, -1), keepdim=True)) * self.truth
        self.template = texture / texture.square().sum()

    def forward(self, x: Tensor) -> Tensor:
        match = (x * self.template).sum((1, 2, 3))
        return torch.stack([10 * (match - 0.5), torch.zeros_like(match)], 1)
