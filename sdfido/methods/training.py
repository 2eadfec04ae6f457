"""Trains latent-location classifiers by marginal likelihood or expectation-maximisation; stops and goes on exactly."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import json_file
from ..checks import check_choice, check_path, check_tensor, describe, set_count, set_number, set_seed
from ..files import replacing
from ..models.packages import require
from .latent import LatentClassifier, em_loss, ml_loss, posterior

__all__ = ["Epoch", "FitProgress", "Training", "fit", "read_weights", "write_weights"]

Batches = Iterable[tuple[Tensor, Tensor]]
Tensors = dict[str, Tensor]
_RISE, _COLD = 0.2, 1e-3  # part of the steps in which the learning rate rises, and its lowest part
_STATE, _ABOUT = "training/", "sdfido"  # of checkpoint files: what only training needs, and the metadata's key


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a latent-location classifier is trained.

    The learning rate rises along a cosine in the first fifth of the steps, and falls along one to nearly 0.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    objective: str = "em"  #: "em": expectation-maximisation with a frozen posterior; "ml": marginal likelihood
    refresh: int = 25  #: steps after which the posterior is that of the current parameters; 1: of every step's own
    epochs: int = 40  #: passes over the batches
    optimizer: str = "sgd"  #: "sgd", with Nesterov's momentum of 0.9, or "adamw"
    learning_rate: float = 0.01  #: highest, of the features
    head_factor: float = 10.0  #: by which that of both heads is higher
    weight_decay: float = 1e-4  #: of all weights
    seed: int = 0  #: of the order of batches, and of all else that is drawn in training

    def __post_init__(self) -> None:
        check_choice("objective", self.objective, ("em", "ml"))
        check_choice("optimizer", self.optimizer, ("sgd", "adamw"))
        set_count(self, "refresh")
        set_count(self, "epochs")
        set_number(self, "learning_rate", float, above=0)
        set_number(self, "head_factor", float, above=0)
        set_number(self, "weight_decay", float, 0)
        set_seed(self)


@dataclass(frozen=True)
class FitProgress:
    """Where training stands, for callbacks."""

    epoch: int  #: under way, from 1
    epochs: int  #: in all
    step: int  #: steps done of this epoch, from 1
    steps: int  #: of an epoch
    loss: float  #: of the step's batch, of the objective; lower is better


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to."""

    epoch: int  #: from 1
    loss: float  #: mean over its batches, of the objective
    accuracy: float  #: part of its images that were classified correctly while the weights changed, 0..1
    validation_loss: float | None = None  #: mean negative log-likelihood of the validation images
    validation_accuracy: float | None = None  #: part of them that is classified correctly, 0..1


def fit(
    model: LatentClassifier,
    loader: Batches,
    training: Training,
    *,
    validation: Batches | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    again: bool = False,
    on_step: Callable[[FitProgress], object] | None = None,
    on_epoch: Callable[[Epoch], object] | None = None,
) -> list[Epoch]:
    """Train a model in place; see ``sdfido.CALM.fit``."""
    steps = _check_loader("loader", loader)
    if validation is not None:
        _check_loader("validation", validation)
    device = next(model.parameters()).device
    run = _Run(model, training, steps, device)
    path = None if checkpoint is None else check_path("checkpoint", checkpoint)
    if path is not None:
        _safetensors()
        if path.exists() and not again:
            run.resume(path)
    modes = {part: part.training for part in model.modules()}
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.inference_mode(False):
            for epoch in range(len(run.history) + 1, training.epochs + 1):
                _seed(loader, training.seed, epoch, device)
                model.train()
                found = run.epoch(epoch, loader, on_step)
                if validation is not None:
                    model.eval()
                    loss, accuracy = _validate(model, validation, device)
                    found = replace(found, validation_loss=loss, validation_accuracy=accuracy)
                run.history.append(found)
                if path is not None:
                    run.write(path)
                if on_epoch is not None:
                    on_epoch(found)
    finally:
        for part, mode in modes.items():
            part.training = mode
    return run.history


class _Run:
    """A training under way: all that its next epoch depends on."""

    def __init__(self, model: LatentClassifier, training: Training, steps: int, device: torch.device) -> None:
        self.model, self.training, self.steps, self.device = model, training, steps, device
        self.history: list[Epoch] = []
        self.frozen: LatentClassifier | None = None  # the model of the posterior
        self.optimizer = _optimizer(model, training)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def epoch(self, epoch: int, loader: Batches, on_step: Callable[[FitProgress], object] | None) -> Epoch:
        """Go through the loader once."""
        total, right, seen, step = 0.0, 0, 0, 0
        for step, (images, targets) in enumerate(_batches("loader", loader, self.model, self.device), 1):
            done = (epoch - 1) * self.steps + step - 1
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * _warmth(done / (self.training.epochs * self.steps))
            with torch.enable_grad():
                log_joint = self.model.log_joint(images)
                loss = self._losses(log_joint, images, targets, done).mean()
            if not loss.isfinite():
                raise RuntimeError(f"loss must be finite, got {loss.item()} in epoch {epoch}; lower learning_rate")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.item()
            right += int((log_joint.detach().logsumexp((2, 3)).argmax(1) == targets).sum())
            seen += len(targets)
            if on_step is not None:
                on_step(FitProgress(epoch, self.training.epochs, step, self.steps, loss.item()))
        if step != self.steps:
            raise ValueError(f"loader must give as many batches as its length says, {self.steps}, got {step}")
        return Epoch(epoch, total / step, right / seen)

    def _losses(self, log_joint: Tensor, images: Tensor, targets: Tensor, done: int) -> Tensor:
        if self.training.objective == "ml":
            return ml_loss(log_joint, targets)
        if self.training.refresh == 1:
            return em_loss(log_joint, targets, posterior(log_joint, targets))
        if self.frozen is None or done % self.training.refresh == 0:
            self.frozen = copy.deepcopy(self.model).eval()
        with torch.no_grad():
            weights = posterior(self.frozen.log_joint(images), targets)
        return em_loss(log_joint, targets, weights)

    def write(self, path: Path) -> None:
        """Everything into a file, which appears whole or not at all."""
        state: dict[str, Tensor] = {}
        if self.frozen is not None:
            state |= {f"frozen/{name}": value for name, value in self.frozen.state_dict().items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer/{number}/{name}": value for name, value in values.items() if value is not None}
        about = {
            "training": asdict(self.training),
            "steps": self.steps,
            "history": [asdict(epoch) for epoch in self.history],
        }
        write_weights(path, self.model, about, {_STATE + name: value for name, value in state.items()})

    def resume(self, path: Path) -> None:
        """Take up what a file holds of the same training.

        Raises:
            ValueError: it is of another model, or of a training with other settings.
        """
        about, weights, state = read_weights(path, self.model)
        own = {"training": asdict(self.training), "steps": self.steps}
        if differ := [name for name in own if about.get(name) != own[name]]:
            raise ValueError(
                f"checkpoint {path} must be of the same training, but differs in {', '.join(differ)}: "
                f"{[about.get(name) for name in differ]}; give again=True to train anew, or another path"
            )
        self.model.load_state_dict(weights)
        self.history = [Epoch(**epoch) for epoch in about["history"]]
        frozen: dict[str, Tensor] = {}
        optimizer: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            kind, _, rest = name.removeprefix(_STATE).partition("/")
            if kind == "frozen":
                frozen[rest] = value
            else:
                number, _, key = rest.partition("/")
                optimizer.setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": optimizer})
        if frozen:
            self.frozen = copy.deepcopy(self.model).eval()
            self.frozen.load_state_dict(frozen)


def write_weights(
    path: str | os.PathLike[str], model: nn.Module, about: dict[str, Any], more: dict[str, Tensor] | None = None
) -> None:
    """Write a model's weights, and what else belongs to them, as a safetensors file.

    Raises:
        ImportError: safetensors is not installed.
    """
    tensors = {**model.state_dict(), **(more or {})}
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    check_path("path", path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        _safetensors().torch.save_file(plain, part, {_ABOUT: json.dumps(about)})


def read_weights(path: str | os.PathLike[str], model: nn.Module) -> tuple[dict[str, Any], Tensors, Tensors]:
    """What ``write_weights`` wrote: what is said about it, weights that fit a model, and the other tensors by name.

    Raises:
        ImportError: safetensors is not installed.
        OSError: the file cannot be read.
        ValueError: it is no such file, or its weights are another model's.
    """
    library = _safetensors()
    path = check_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"path must be a checkpoint, got {os.fspath(path)!r}, where there is none")
    try:
        with library.safe_open(path, "pt") as file:
            about = json_file.parse((file.metadata() or {})[_ABOUT], finite=False)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
    except (library.SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"path must be a checkpoint of CALM.save or CALM.fit, got {os.fspath(path)!r}") from error
    weights = {name: value for name, value in tensors.items() if not name.startswith(_STATE)}
    own = model.state_dict()  # compared before any weight is taken: load_state_dict takes those that fit all the same
    for name in [*own, *weights]:
        there, needed = (list(each[name].shape) if name in each else "missing" for each in (weights, own))
        if there != needed:
            raise ValueError(
                f"path must hold the weights of this model, got {os.fspath(path)!r}, where {name} is {there}, and here "
                f"{needed}"
            )
    return about, weights, {name: value for name, value in tensors.items() if name.startswith(_STATE)}


def _safetensors() -> Any:
    for module in ("safetensors.torch", "safetensors"):
        library = require(module, "a checkpoint", 'pip install "sdfido[checkpoints]"')
    return library


def _optimizer(model: LatentClassifier, training: Training) -> torch.optim.Optimizer:
    heads = [*model.class_head.parameters(), *model.location_head.parameters()]
    parts = [(list(model.features.parameters()), 1.0), (heads, training.head_factor)]
    groups: list[dict[str, Any]] = [
        {"params": learned, "lr": training.learning_rate * factor}
        for parameters, factor in parts
        if (learned := [parameter for parameter in parameters if parameter.requires_grad])
    ]
    if training.optimizer == "adamw":
        return torch.optim.AdamW(groups, weight_decay=training.weight_decay)
    return torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=training.weight_decay)


def _warmth(done: float) -> float:
    """The learning rate, as a part of the highest, when this part of the steps is done."""
    part = done / _RISE if done < _RISE else 1 + (done - _RISE) / (1 - _RISE)
    return max(_COLD, 0.5 - 0.5 * math.cos(math.pi * part))


def _seed(loader: Batches, seed: int, epoch: int, device: torch.device) -> None:
    """Make everything drawn in an epoch depend on seed and epoch alone, so that a training can go on with any.

    Random numbers of other GPUs than the model's are left as they are.
    """
    drawn = (seed * 1_000_003 + epoch) % 2**63
    torch.default_generator.manual_seed(drawn)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(drawn)
    for owner in (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(drawn)


@torch.no_grad()
def _validate(model: LatentClassifier, batches: Batches, device: torch.device) -> tuple[float, float]:
    """Mean negative log-likelihood and accuracy."""
    total, right, seen = 0.0, 0, 0
    for images, targets in _batches("validation", batches, model, device):
        log_probabilities = model(images)
        total -= float(log_probabilities.gather(1, targets[:, None]).double().sum())
        right += int((log_probabilities.argmax(1) == targets).sum())
        seen += len(targets)
    return total / seen, right / seen


def _batches(
    name: str, batches: Batches, model: LatentClassifier, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Checked batches on the model's device."""
    dtype, classes = model.class_head.weight.dtype, model.classes
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2 or not all(isinstance(x, Tensor) for x in batch):
            raise TypeError(f"{name} must give pairs (images, targets) of tensors, got {describe(batch)}")
        images, targets = batch
        check_tensor(f"{name}'s images", images, "[B, C, H, W]", 4, floating=True, filled=0)
        check_tensor(f"{name}'s targets", targets, "[B]", 1)
        if targets.dtype != torch.int64 or len(targets) != len(images):
            raise ValueError(
                f"{name}'s targets must be one int64 for each of {len(images)} images, got {describe(targets)}"
            )
        if (targets < 0).any() or (targets >= classes).any():
            raise ValueError(
                f"{name}'s targets must be classes in 0..{classes - 1}, got {int(targets.min())}..{int(targets.max())}"
            )
        yield images.to(device, dtype), targets.to(device)


def _check_loader(name: str, loader: Any) -> int:
    """How many batches it gives, each time it is gone through."""
    if not isinstance(loader, Iterable) or not isinstance(loader, Sized):
        raise TypeError(
            f"{name} must give batches (images, targets) anew each time and have a length, such as a "
            f"torch.utils.data.DataLoader or a list, got {type(loader).__name__}"
        )
    if len(loader) == 0:
        raise ValueError(f"{name} must give at least one batch, got none")
    return len(loader)
