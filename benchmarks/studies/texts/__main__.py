"""Asks whether the map for a text points at the part that the text names, and which texts the prompt check flags.

    python -m benchmarks.studies.texts [--images 24] [--seed 0] [--out FOLDER]

writes benchmarks/results/texts.json and docs/img/texts.webp. A trial with other numbers (--images, --seed) goes
elsewhere (--out). ``python -m benchmarks.pages`` puts the tables into docs/studies/texts.md.
"""

from __future__ import annotations

import argparse
import random
import string
from pathlib import Path

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common import classifiers, drawing, paths, records
from benchmarks.common.attributions import BLUR, grad_cam, integrated_gradients
from benchmarks.common.drawing import Drawings
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.common.statistics import interval
from benchmarks.studies.texts import picture, report
from benchmarks.studies.texts.model import PARTS, SCALE, TEMPLATES, TEXTS, TRAINED, Toy, train
from benchmarks.studies.texts.picture import Nonsense
from sdfido import evaluate, scores

NONSENSE_SEED, NONSENSE = 11, 10  # of the prompts without meaning, and how many
SHOWN = ("a crest", "a long bill", "bars on the wing")  # parts of the birds in the picture


class OneNumber(nn.Module):
    """A model whose one output [B, 1] is the score of a text, for methods that explain outputs."""

    def __init__(self, score: scores.TextScore, target: int) -> None:
        super().__init__()
        self.model, self.score, self.target = score.model, score, target

    def forward(self, images: Tensor) -> Tensor:
        return self.score(images, torch.full((len(images),), self.target))[:, None]


def others(score: scores.TextScore, model: Toy, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Maps [N, H, W] of the same scores by Grad-CAM and integrated gradients."""
    found: dict[str, list[Tensor]] = {"grad-cam": [], "integrated gradients": []}
    zero = torch.zeros(1, dtype=torch.int64)
    for image, target in zip(images, targets.tolist(), strict=True):
        one = OneNumber(score, target).eval()
        found["grad-cam"].append(grad_cam(one, image[None], zero, layer=model.features[-3])["map"])
        found["integrated gradients"].append(integrated_gradients(one, image[None], zero)["map"])
    return {name: torch.cat(each) for name, each in found.items()}


def nonsense() -> list[str]:
    """Texts of random letters, each with the words' lengths of one of the texts."""
    letters = random.Random(NONSENSE_SEED)
    found = []
    for _ in range(NONSENSE):
        sense = letters.choice(TEXTS[1:])
        words = ("".join(letters.choices(string.ascii_lowercase, k=len(word))) for word in sense.split())
        found.append(" ".join(words))
    return found


def mapped(model: Toy, images: Tensor, labels: Tensor) -> list[Nonsense]:
    """For the first bird of each part that is shown, the map for a text of random letters, set against all texts."""
    found = []
    for part, text in zip(SHOWN, nonsense(), strict=False):
        for bird in (labels == PARTS.index(part)).nonzero()[:1, 0].tolist():
            score = scores.TextScore(model, [*TEXTS, text], model.encode_text, logit_scale=SCALE)
            image = images[bird : bird + 1]
            learned = sdfido.FIDO(score, infill=BLUR).explain(image, text).joint[0]
            passed = evaluate.prompt_check(score, image, text).passed
            found.append(Nonsense(bird, text, learned, flagged=not passed.item()))
    return found


def prompts(score: scores.TextScore, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Whether the prompt check flags texts that are true, wrong, or without meaning: by kind, a pair each."""
    found: dict[str, list[Tensor]] = {"true": [], "wrong": [], "nonsense": []}
    for label in range(1, len(TEXTS)):
        flagged = ~evaluate.prompt_check(score, images, TEXTS[label]).passed
        found["true"].append(flagged[labels == label])
        found["wrong"].append(flagged[labels != label])
    for text in nonsense():
        found["nonsense"].append(~evaluate.prompt_check(score, images, text).passed)
    return {name: torch.cat(each) for name, each in found.items()}


@torch.no_grad()
def fits(score: scores.TextScore, images: Tensor, labels: Tensor) -> Tensor:
    """Whether the text of its species fits each image best: bool [N]."""
    return score.logits(images).argmax(1) == labels


def run(count: int, seed: int, model: Toy) -> tuple[Results, Drawings, dict[str, Tensor], list[Nonsense]]:
    """The first ``count`` birds with a part that the model gives their own text: results, the birds, and what is drawn.

    That is each method's maps [N, H, W], and FIDO's maps for random letters.
    """
    drawn = drawing.birds(range(2 * count), seed=seed)
    with_part = drawn.some(drawn.labels > 0)
    everything = classifiers.NORMALIZATION.normalize(with_part.pixels)
    score = scores.TextScore(model, TEXTS, model.encode_text, logit_scale=SCALE)
    right = fits(score, everything, with_part.labels)
    index = right.nonzero()[:count, 0]
    birds, images = with_part.some(index), everything[index]
    explanation = sdfido.FIDO(score, infill=BLUR).explain(images, birds.labels)
    maps = {"fido": explanation.joint, **others(score, model, images, birds.labels)}
    rows = {
        name: {
            "points": interval(evaluate.pointing_game(each, birds.truth).double()),
            "iou": interval(evaluate.intersection_over_union(each, birds.truth).double()),
        }
        for name, each in maps.items()
    }
    hits = evaluate.pointing_game(maps["fido"], birds.truth)
    own = {PARTS[label]: hits[birds.labels == label] for label in range(1, len(PARTS))}
    results: Results = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "images": len(birds.labels),
        "seed": seed,
        "trained": TRAINED,
        "templates": len(TEMPLATES),
        "right": round(float(right.float().mean()), 4),
        "truth": round(float(birds.truth.float().mean()), 5),
        "methods": rows,
        "parts": {name: {"hits": int(each.sum()), "birds": len(each)} for name, each in own.items()},
        "flagged": {
            kind: {"part": round(float(each.float().mean()), 4), "checks": len(each)}
            for kind, each in prompts(score, images, birds.labels).items()
        },
        "settings": explanation.settings,
    }
    return results, birds, maps, mapped(model, images, birds.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=24, help="how many birds are explained")
    parser.add_argument("--seed", type=int, default=classifiers.TEST_SEED, help="of the held-out drawings")
    parser.add_argument("--out", type=Path, help="folder of both files; by default each goes to its place")
    arguments = parser.parse_args()
    file, shown = paths.placed(arguments.out, report.RESULTS, report.PICTURE)
    print("training", flush=True)
    model = train()
    print("explaining", flush=True)
    results, *drawn = run(arguments.images, arguments.seed, model)
    results = records.write(file, results)
    picture.draw(*drawn, shown)
    print(report.summary(results))
    print(f"wrote {file} and {shown}")


if __name__ == "__main__":
    main()
