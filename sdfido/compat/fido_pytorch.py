"""FIDO for one image with the classes, arguments and defaults of existing FIDO code, on the fused operator.

Here sigma(logit_p) is a dropout rate: the chance that a cell is infilled. The operators' keep logits are -logit_p.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .. import infills
from ..checks import check_count, check_flag, check_size, check_tensor
from ..explanation import GEOMETRIC, Explanation
from ..normalization import Normalization
from ..ops import functional
from .concrete import SigmoidConcreteDropout, concrete_dropout, sigmoid_concrete_dropout
from .config import FIDOConfig, MaskConfig, Size
from .problem import Classifier, Masks, Metrics, log_odds, sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FIDO",
    "FIDOConfig",
    "MaskConfig",
    "SigmoidConcreteDropout",
    "concrete_dropout",
    "sigmoid_concrete_dropout",
]

NORMALIZATION = Normalization((0.5,), (0.5,))  # of the images


class FIDO(nn.Module):
    """Two masks of dropout rates for one image: smallest sufficient (SSR) and smallest destroying region (SDR).

    ``fit`` minimises ``-log-odds(ssr(X)) + log-odds(sdr(X)) + l1 * l1_norm() + tv * tv_loss()``, by samples of the
    masks. ``optimized=True`` takes samples, composites, penalties and their gradients from one fused pass.

    Args:
        size: cells of a mask, (rows, columns) or one number for both.
        infill: what replaces dropped pixels, floating point; broadcasts against the image [C, H, W].
        optimized: sample by simplified concrete dropout, else by standard concrete dropout.
        device: of masks and infill; that of ``infill`` by default.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> fido = FIDO.new(im, MaskConfig(), device="cpu")
        >>> fido.fit(im, y, clf, config=FIDOConfig(iterations=50))
        >>> fido.joint_dropout_rate  # importance of each cell, [h, w]

    Source: Chang et al., ICLR 2019, arXiv 1807.08024; Korsch et al., GCPR 2023, arXiv 2307.14825.
    """

    infill: Tensor

    def __init__(
        self, size: Size, *, infill: Tensor, optimized: bool = True, device: torch.device | str | None = None
    ) -> None:
        super().__init__()
        cells = check_size("size", size, "(rows, columns)")
        check_tensor("infill", infill, floating=True)
        check_flag("optimized", optimized)
        self.optimized = optimized
        with torch.inference_mode(False):
            self.register_buffer("infill", infill.detach().to(device, torch.float32, copy=True))
            self.ssr_logit_p = nn.Parameter(torch.zeros(cells, dtype=torch.float32, device=self.infill.device))
            self.sdr_logit_p = nn.Parameter(torch.zeros(cells, dtype=torch.float32, device=self.infill.device))

    @classmethod
    def new(cls, im: Tensor, mask_config: MaskConfig, *, device: torch.device | str | None) -> FIDO:
        """Masks and infill for an image [C, H, W] that is normalised with mean 0.5 and std 0.5."""
        _check_image("im", im)
        if not isinstance(mask_config, MaskConfig):
            raise TypeError(f"mask_config must be a MaskConfig, got {type(mask_config).__name__}")
        height, width = im.shape[-2:]
        cells = (height, width)
        if mask_config.mask_size is not None:
            cells = check_size("mask_size", mask_config.mask_size, "(rows, columns)")
            if cells[0] > height or cells[1] > width:
                raise ValueError(
                    f"mask_size must not exceed the image, {height}x{width} pixels, got {cells[0]}x{cells[1]}"
                )
        strategy = infills.from_spec(mask_config.infill_strategy, NORMALIZATION)
        infill = infills.apply(strategy, im.detach().float()[None])[0]
        return cls(cells, infill=infill, optimized=mask_config.optimized, device=device)

    @property
    def params(self) -> list[nn.Parameter]:
        """What is learned: ``ssr_logit_p`` and ``sdr_logit_p``."""
        return [self.ssr_logit_p, self.sdr_logit_p]

    @property
    def ssr_dropout_rate(self) -> Tensor:
        """Dropout rates of the sufficient mask [h, w], 0..1: low where the image matters."""
        return torch.sigmoid(self.ssr_logit_p)

    @property
    def sdr_dropout_rate(self) -> Tensor:
        """Dropout rates of the destroying mask [h, w], 0..1: high where the image matters."""
        return torch.sigmoid(self.sdr_logit_p)

    @property
    def joint_dropout_rate(self) -> Tensor:
        """Both in one, ``sqrt((1 - ssr) * sdr)`` of the dropout rates [h, w], 0..1: high where the image matters."""
        return ((1 - self.ssr_dropout_rate) * self.sdr_dropout_rate).sqrt()

    def tv_loss(self) -> Tensor:
        """Total variation, a sum: ``sum |p[y,x+1] - p[y,x]| + sum |p[y+1,x] - p[y,x]|`` over both masks' rates p."""
        _, smoothness = functional.penalties(torch.stack(tuple(self.params))[None])
        return self.ssr_logit_p.numel() * smoothness.sum()

    def l1_norm(self) -> Tensor:
        """Kept and removed area, a sum: ``(sum (1 - ssr_dropout_rate) + sum sdr_dropout_rate) / 2``."""
        return 0.5 * ((1 - self.ssr_dropout_rate).sum() + self.sdr_dropout_rate.sum())

    def ssr(self, X: Tensor, batch_size: int = 1, deterministic: bool = False) -> Tensor:
        """X with all but the sufficient region infilled, by mask samples [batch_size, C, H, W].

        Args:
            X: one image [C, H, W], normalised with mean 0.5 and std 0.5.
            batch_size: number of samples.
            deterministic: blend by keep rates instead; all composites are then equal.
        """
        return self._composites(X, self.ssr_logit_p, batch_size, deterministic)

    def sdr(self, X: Tensor, batch_size: int = 1, deterministic: bool = False) -> Tensor:
        """X with the destroying region infilled, by mask samples; like ``ssr``."""
        return self._composites(X, self.sdr_logit_p, batch_size, deterministic)

    def forward(self, X: Tensor, batch_size: int = 1, deterministic: bool = False) -> tuple[Tensor, Tensor]:
        """Composites of both masks, (ssr, sdr); arguments as of ``ssr``."""
        return self.ssr(X, batch_size, deterministic), self.sdr(X, batch_size, deterministic)

    def objective(self, X: Tensor, y: Any, clf: Classifier, batch_size: int = 1) -> Tensor:
        """What both masks minimise, without the penalties: mean of ``-log-odds(ssr)`` plus mean of ``log-odds(sdr)``.

        Args:
            X: one image [C, H, W], normalised with mean 0.5 and std 0.5.
            y: the class, handed to the classifier as it is.
            clf: what is explained, with ``log_odds(x, c=y) -> (prob, log_odds)``.
            batch_size: samples of each mask.
        """
        (_, ssr), (_, sdr) = (log_odds(clf, composites, y) for composites in self(X, batch_size))
        return sdr.mean() - ssr.mean()

    def fit(
        self,
        im: Tensor,
        y: Any,
        clf: Classifier,
        config: FIDOConfig | None = None,
        metrics: Metrics | None = None,
        update_callback: Callable[[FIDO, int], object] | None = None,
    ) -> None:
        """Learn both masks, by AdamW; ``torch.manual_seed`` repeats it.

        Args:
            im: the image [C, H, W], normalised with mean 0.5 and std 0.5.
            y: the class, handed to the classifier as it is.
            clf: what is explained, with ``log_odds(x, c=y) -> (prob, log_odds)``; its parameters get no gradients.
            config: ``FIDOConfig()`` by default.
            metrics: a dictionary of lists, to each of which an iteration appends a number, as it is before the update:
                ``objective`` (with penalties), ``ssr_prob`` and ``sdr_prob`` (means over the samples), ``l1``, ``tv``,
                ``ssr_area`` and ``sdr_area`` (parts of the cells whose importance exceeds ``config.thresh``).
            update_callback: called with this object and the iteration, from 0, after each update.

        Raises:
            TypeError, ValueError: an argument does not fit; the message says which.
            RuntimeError: the objective is not finite.
        """
        config = FIDOConfig() if config is None else config
        if not isinstance(config, FIDOConfig):
            raise TypeError(f"config must be a FIDOConfig, got {type(config).__name__}")
        if config.approx_steps is not None and config.approx_steps > config.batch_size:
            raise ValueError(
                f"approx_steps must be at most batch_size, {config.batch_size}, got {config.approx_steps}; "
                "each part needs a sample"
            )
        if metrics is not None and not isinstance(metrics, MutableMapping):
            raise TypeError(f"metrics must be a dictionary to fill, got {type(metrics).__name__}")
        if update_callback is not None and not callable(update_callback):
            raise TypeError(f"update_callback must be callable, got {update_callback!r}")
        with torch.inference_mode(False), torch.enable_grad():
            X = self._image("im", im).detach().clone()
            masks = Masks(self, X, y, clf, config, metrics)
            told = update_callback
            masks.learn(masks.twice(), None if told is None else lambda progress: told(self, progress.step - 1))

    def plot(self, im: Tensor, y: Any, clf: Classifier, *, label: str | None = None) -> Figure:
        """Picture of the image, its infill, both regions, both composites and their probabilities.

        Args:
            im: the image [C, H, W] of 1 or 3 channels, normalised with mean 0.5 and std 0.5.
            y: index of the class.
            clf: what is explained.
            label: the class's name, "class Y" by default.

        Raises:
            ImportError: matplotlib is missing.
        """
        from .. import reports  # matplotlib is optional

        X = self._image("im", im).detach()[None]
        pixels, infill = NORMALIZATION.pixels(X), NORMALIZATION.pixels(self.infill.expand(X.shape))
        return reports.overview(self._explanation(X, y, clf), pixels, infill, label=label)

    def _image(self, name: str, X: Tensor) -> Tensor:
        """The checked image in the masks' dtype, on their device."""
        _check_image(name, X)
        h, w = self.ssr_logit_p.shape
        if h > X.shape[1] or w > X.shape[2]:
            raise ValueError(f"{name} must have a pixel for each of the masks' {h}x{w} cells, got {list(X.shape)}")
        try:
            self.infill.expand(X.shape)
        except RuntimeError:
            raise ValueError(
                f"{name} must have the shape of the infill, {list(self.infill.shape)}, got {list(X.shape)}"
            ) from None
        return X.to(self.ssr_logit_p)

    def _composites(self, X: Tensor, logit_p: Tensor, batch_size: int, deterministic: bool) -> Tensor:
        """Composites by samples of a mask, or by its keep rates [batch_size, C, H, W]."""
        X = self._image("X", X)
        check_count("batch_size", batch_size)
        check_flag("deterministic", deterministic)
        if not deterministic:
            return sample(X, self.infill, logit_p, batch_size, self.optimized).composites.flatten(0, 2)
        return functional.blend(torch.sigmoid(-logit_p), X, self.infill).repeat(batch_size, 1, 1, 1)

    @torch.no_grad()
    def _explanation(self, X: Tensor, y: Any, clf: Classifier) -> Explanation:
        """What there is to show of an image [1, C, H, W]."""
        logits = -torch.stack(tuple(self.params))[None]
        size = (X.shape[-2], X.shape[-1])
        rates, cut = (functional.upsample(keep, size)[0] for keep in (torch.sigmoid(logits), (logits > 0).to(X)))
        infill = self.infill.expand(X.shape)
        shown = torch.cat([X, infill, *(functional.blend(masks, X[0], infill[0]) for masks in (rates, cut))])
        probabilities = clf.log_odds(shown, c=y)[0]
        names = ("prob_image", "prob_infill", "prob_ssr", "prob_sdr", "prob_ssr_binary", "prob_sdr_binary")
        return Explanation(
            "fido",
            {"ssr": rates[:1], "sdr": 1 - rates[1:]},
            dict(zip(names, probabilities[:, None], strict=True)),
            torch.tensor([int(y)], device=X.device),
            {"mask_logits": logits},
            legend=GEOMETRIC,
        )


def _check_image(name: str, value: Tensor) -> None:
    check_tensor(name, value, "[C, H, W]", 3, floating=True, finite=True, filled=0)
