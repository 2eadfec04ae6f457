"""Explain a photo: draw what the classifier looks at, and save the maps.

python examples/explain_photo.py [PHOTO] --out out
"""

import argparse
from pathlib import Path

import sdfido
from sdfido import models, reports

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photo", nargs="?", help="an image file; a photo of a cup of coffee if not given")
parser.add_argument("--target", help="class to explain, by number or name; the predicted one if not given")
parser.add_argument("--steps", type=int, default=26)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

classifier = models.load("efficientnet-lite0")
photo = models.read_photo(arguments.photo) if arguments.photo else models.demo_photo()
images = classifier.preprocess(photo)[None]  # [1, 3, 224, 224]
target = classifier.find(arguments.target) if arguments.target else None

explainer = sdfido.FIDO(classifier.model, normalization=classifier.normalization, steps=arguments.steps)
explanation = explainer.explain(images, target, on_step=lambda progress: print(end="."))
label = classifier.label(int(explanation.targets[0]))

print(f"\nWhat the classifier says of “{label}”:")
for name, values in explanation.numbers.items():
    print(f"  {name:16} {float(values[0]):6.1%}")

arguments.out.mkdir(parents=True, exist_ok=True)
explanation.save(arguments.out / "explanation.npz")
pixels, infill = map(classifier.normalization.pixels, (images, explainer.infill(images)))
reports.save(reports.overview(explanation, pixels, infill, label=label), arguments.out / "overview.png")
print(f"See {arguments.out / 'overview.png'}")
