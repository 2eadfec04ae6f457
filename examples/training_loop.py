"""Learn a mask in a loop of your own: which part of a photo is enough for the classifier?

python examples/training_loop.py --steps 60
"""

import argparse

import torch
import torch.nn.functional as F

import sdfido
from sdfido import infills, models

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=60)
arguments = parser.parse_args()

classifier = models.load("efficientnet-lite0")
images = classifier.preprocess(models.demo_photo())[None]  # [1, 3, 224, 224]
infill = infills.Blur(sigma=10)(images)
with torch.no_grad():
    target = classifier.model(images).argmax(1)  # [1]

logits = torch.zeros(1, 1, 14, 14, requires_grad=True)  # keep logits: one image, one mask of 14 x 14 cells
optimizer = torch.optim.Adam([logits], lr=0.2)
rng = sdfido.make_rng(seed=0)
for step in range(arguments.steps):
    # Sample two masks with opposite noise, upsample them, blend image and infill, compute both penalties: one pass.
    samples = sdfido.sample_composites(
        logits, images, infill, rng, num_samples=2, temperature=0.5, antithetic=True, channels_last=True
    )
    class_logits = classifier.model(samples.composites.flatten(0, 2))  # [2, 1000]
    loss = F.cross_entropy(class_logits, target.expand(2))
    loss = loss + 4 * samples.sparsity.mean() + 4 * samples.smoothness.mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    rng = sdfido.advance(rng)
    if (step + 1) % 10 == 0:
        print(f"step {step + 1}: loss {loss:.3f}, {samples.sparsity.item():.0%} kept")

# Judge the mask without noise: each cell is kept as much as it is likely to be kept.
mask = logits.detach().sigmoid()[:, :, None]  # [N, K, S, h, w] = [1, 1, 1, 14, 14]
with torch.no_grad():
    composite = sdfido.blend(mask, images, infill).flatten(0, 2)
    before, after = classifier.model(torch.cat([images, composite])).softmax(1)[:, target[0]]
print(f"“{classifier.label(int(target))}”: {before:.0%} for the photo, {after:.0%} for {mask.mean():.0%} of it")
