"""Explain a classifier of Hugging Face: by name, from a local folder, or as a pipeline.

python examples/hugging_face.py --model google/vit-base-patch16-224      # weights from the hub
python examples/hugging_face.py                                          # a tiny random one, saved and loaded: offline
"""

import argparse
from pathlib import Path

import transformers

import sdfido
from sdfido import models, reports

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", help="name on the hub, or a local folder")
parser.add_argument("--steps", type=int, default=26)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

folder = arguments.model
if folder is None:
    folder = str(arguments.out / "tiny-vit")
    names = {0: "cat", 1: "cup", 2: "coffee"}
    config = transformers.ViTConfig(
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
        **{"image_size": 64, "patch_size": 8, "id2label": names, "label2id": {name: i for i, name in names.items()}},
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)

# As a classifier, with the preprocessing of its processor and the names of its classes ...
classifier = models.load(f"hf:{folder}")
images = classifier.preprocess(models.demo_photo())[None]
explainer = sdfido.FIDO(classifier, mask_size=8, steps=arguments.steps)
explanation = explainer.explain(images)
label = classifier.label(int(explanation.targets[0]))
print(f"“{label}”: {float(explanation.prob_image[0]):.1%} for the photo")

# ... or as the pipeline that you have.
pipeline = transformers.pipeline("image-classification", model=folder, device="cpu")
same = sdfido.FIDO(pipeline, mask_size=8, steps=arguments.steps).explain(images)
print(f"the pipeline gives the same maps: {bool((same.ssr == explanation.ssr).all())}")

arguments.out.mkdir(parents=True, exist_ok=True)
pixels, infill = (classifier.normalization.pixels(each) for each in (images, explainer.infill(images)))
reports.save(reports.overview(explanation, pixels, infill, label=label), arguments.out / "hugging_face.png")
print(f"See {arguments.out / 'hugging_face.png'}")
