"""Compare FIDO's maps with those of another method: here, the magnitude of the classifier's gradient.

python examples/compare_maps.py --out out
"""

import argparse
from pathlib import Path

import torch

import sdfido
from sdfido import evaluate, models, reports

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=26)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

classifier = models.load("efficientnet-lite0")
images = classifier.preprocess(models.demo_photo())[None]
score = sdfido.ClassScore(classifier.model)

# One probe for all maps: the same images, classes and infill.
probe = evaluate.Probe(score, images)
explanation = sdfido.FIDO(score, steps=arguments.steps).explain(images, probe.targets)
inputs = images.clone().requires_grad_()
(gradient,) = torch.autograd.grad(score(inputs, probe.targets).sum(), inputs)
maps = {"SSR": explanation["ssr"], "SDR": explanation["sdr"], "gradient": gradient.abs().amax(1)}

measures = {name: evaluate.measure(map_, probe) for name, map_ in maps.items()}
print(f"{'':16}" + "".join(f"{name:>10}" for name in maps))
for number in measures["SSR"].numbers:
    print(f"{number:16}" + "".join(f"{float(m.numbers[number][0]):10.3f}" for m in measures.values()))

arguments.out.mkdir(parents=True, exist_ok=True)
panels = [{name: m.curves[curve] for name, m in measures.items()} for curve in ("insertion", "deletion")]
reports.save(reports.curves(*panels, title="How good are the maps?"), arguments.out / "curves.png")
print(f"See {arguments.out / 'curves.png'}")
