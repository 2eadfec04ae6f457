"""Explain a photo by any model of timm, with the preprocessing that its weights were made with.

python examples/timm_model.py --model convnext_atto.d2_in1k      # weights from the hub
python examples/timm_model.py --random                           # random weights: runs offline, explains nothing
"""

import argparse
from pathlib import Path

import sdfido
from sdfido import models, reports

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default="test_vit", help="name of a model")
parser.add_argument("--random", action="store_true", help="random weights, which need no network")
parser.add_argument("--steps", type=int, default=26)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

if arguments.random:
    import timm

    classifier = models.timm.described(timm.create_model(arguments.model, pretrained=False), arguments.model)
else:
    classifier = models.load(f"timm:{arguments.model}")
print(f"{classifier.name} sees {classifier.size[0]} x {classifier.size[1]} pixels, cropped by {classifier.crop_mode!r}")

photo = models.demo_photo()
images = classifier.preprocess(photo)[None]
explainer = sdfido.FIDO(classifier, mask_size=14, steps=arguments.steps)
explanation = explainer.explain(images)
label = classifier.label(int(explanation.targets[0]))
print(f"“{label}”: {float(explanation.prob_image[0]):.1%} for the photo")

arguments.out.mkdir(parents=True, exist_ok=True)
pixels, infill = (classifier.normalization.pixels(each) for each in (images, explainer.infill(images)))
reports.save(reports.overview(explanation, pixels, infill, label=label), arguments.out / "timm_model.png")
print(f"See {arguments.out / 'timm_model.png'}")
