"""Pass the logit back to the pixels: relevance by two presets, drawn, and what a small part of the photo keeps.

python examples/relevance.py [PHOTO] --out out

Needs zennit, which is under the GPL-3.0 and LGPL-3.0: pip install "sdfido[relevance]".
"""

import argparse
from pathlib import Path

import sdfido
from sdfido import evaluate, models, reports

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photo", nargs="?", help="an image file; a photo of a cup of coffee if not given")
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

classifier = models.load("efficientnet-lite0")
photo = models.read_photo(arguments.photo) if arguments.photo else models.demo_photo()
images = classifier.preprocess(photo)[None]  # [1, 3, 224, 224]

maps = {}
for preset in ("epsilon-plus-flat", "epsilon-gamma-flat"):
    explainer = sdfido.Relevance(classifier.model, normalization=classifier.normalization, preset=preset)
    explanation = explainer.explain(images)
    maps[preset] = explanation.relevance  # [1, 224, 224], -1..1
    label = classifier.label(int(explanation.targets[0]))
    logit, arrived = float(explanation.logit), float(explanation.arrived)
    print(f"{preset}: the logit of “{label}” is {logit:.2f}, of which {arrived:.2g} arrived at the pixels")

    pixels, infill = map(classifier.normalization.pixels, (images, explainer.infill(images)))
    arguments.out.mkdir(parents=True, exist_ok=True)
    reports.save(reports.overview(explanation, pixels, infill, label=label), arguments.out / f"{preset}.png")

found = evaluate.transfer(maps, {"lite0": classifier.model}, images, [0.1, 0.3], normalization=classifier.normalization)
print(found)
print(f"See {arguments.out}/*.png")
