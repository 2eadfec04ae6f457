"""A classifier and an image for the drop-ins' tests, and the same FIDO in plain PyTorch."""

import torch
from torch.nn import functional as F

import sdfido
from sdfido.compat import FIDO, FIDOConfig, MaskConfig
from sdfido.ops import reference

SIZE, CELLS = 24, 8


class Net:
    """A small random classifier of four classes, as existing FIDO code has them; it notes the batches it is given."""

    def __init__(self, dtype=torch.float32, device="cpu"):
        generator = torch.Generator().manual_seed(1)
        shapes = [(12, 3, 5, 5), (4, 12 * 25)]
        kernels, weights = (torch.randn(s, generator=generator).to(device, dtype) for s in shapes)
        self.kernels, self.weights = (kernels / 5).requires_grad_(), (0.4 * weights).requires_grad_()
        self.batches = []

    def predict(self, x):
        hidden = F.avg_pool2d(torch.tanh(F.conv2d(x, self.kernels)), 4)
        return hidden.flatten(1) @ self.weights.T, hidden

    def log_odds(self, x, c=None):
        self.batches.append(len(x))
        logits, _ = self.predict(x)
        others = torch.cat([logits[:, :c], logits[:, c + 1 :]], 1)
        return logits.softmax(1)[:, c], logits[:, c] - others.logsumexp(1)


class InPlaceNet(Net):
    """The same, but it writes into what it is given, and needs what it has written for its gradient."""

    def predict(self, x):
        return super().predict(x.mul_(2).tanh_())


class OutOfPlaceNet(Net):
    def predict(self, x):
        return super().predict((2 * x).tanh())


def image(seed=0, size=SIZE):
    return torch.randn(3, size, size, generator=torch.Generator().manual_seed(seed))


def prepared(dtype=torch.float64, device="cpu", cells=CELLS, optimized=True):
    """Image, infill, classifier, and FIDO with masks that are not zero."""
    im = image().to(device, dtype)
    fido = FIDO.new(im, MaskConfig(mask_size=cells, optimized=optimized), device=device).to(dtype)
    with torch.no_grad():
        for seed, parameter in enumerate(fido.params):
            parameter.copy_(2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return im, fido.infill, Net(dtype, device), fido


# The same in plain PyTorch. Noise is log u - log(1 - u), [B, h, w] a mask.


def noise_of_next_seed(fido, batch_size):
    """What the operator draws for the seed that torch's generator gives next."""
    rng = sdfido.make_rng(torch.default_generator)
    h, w = fido.ssr_logit_p.shape
    words = reference.random_words(rng, torch.zeros(1, dtype=torch.int64), 1, batch_size, h * w, False)
    return -reference.odds(words, torch.float64).log().view(batch_size, h, w).to(fido.ssr_logit_p)


def eager_composites(logit_p, im, infill, noise):
    dropout = torch.sigmoid((logit_p - noise) / 0.1)
    keep = F.interpolate(1 - dropout[:, None], size=im.shape[-2:], mode="bilinear", align_corners=False)
    return keep * im + (1 - keep) * infill


def eager_penalties(ssr, sdr):
    ssr, sdr = torch.sigmoid(ssr), torch.sigmoid(sdr)
    l1 = ((1 - ssr).sum() + sdr.sum()) / 2
    tv = sum((r[1:] - r[:-1]).abs().sum() + (r[:, 1:] - r[:, :-1]).abs().sum() for r in (ssr, sdr))
    return l1, tv


def eager_objective(ssr, sdr, im, infill, noises, y, clf, l1, tv):
    _, sufficient = clf.log_odds(eager_composites(ssr, im, infill, noises[0]), y)
    _, destroying = clf.log_odds(eager_composites(sdr, im, infill, noises[1]), y)
    area, variation = eager_penalties(ssr, sdr)
    return destroying.mean() - sufficient.mean() + l1 * area + tv * variation


def eager_fit(ssr, sdr, im, infill, y, clf, config, draw):
    """``draw()`` gives the noise of one mask."""
    ssr, sdr = (logit_p.detach().clone().requires_grad_() for logit_p in (ssr, sdr))
    optimizer = torch.optim.AdamW([ssr, sdr], lr=config.learning_rate, eps=0.1, weight_decay=config.l2)
    for i in range(config.iterations):
        part = min(1, (i + 1) / config.reg_warmup)
        loss = eager_objective(ssr, sdr, im, infill, [draw(), draw()], y, clf, part * config.l1, part * config.tv)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return ssr.detach(), sdr.detach()


BUSY = FIDOConfig(iterations=12, batch_size=6, learning_rate=3, l1=0.02, l2=0.05, tv=0.03, reg_warmup=7)
