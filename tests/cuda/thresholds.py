"""What the compiler makes of the kernels today: figures of one version of the toolkit, to be moved with it.

Other versions may allocate registers and schedule loads otherwise without a fault in the kernels; there these tests are
left out, and say so.
"""

TOOLKIT = "13.0"

# Of a multiprocessor's warps, those that find a place at once (float32 and 16-bit kernels, sm_80 and sm_90); of some
# kernels more than of the others.
MIN_OCCUPANCY = 0.5
OCCUPANCY = {
    "backward_full_kernel<float, float, false>": 0.5625,
    "backward_full_kernel<float, BFloat16, false>": 0.5625,
    "backward_full_kernel<float, Float16, false>": 0.5625,
    "masks_forward_kernel<float>": 1.0,
    "masks_backward_kernel<float>": 1.0,
}

# Kernel, and how many 128-bit global loads and stores its code has at least.
WIDE_ACCESSES = [
    # Image and infill pass through one loop. Composites: three channels, channels-first and channels-last.
    ("forward_full_kernel<float, float>", 2, 6),  # images, logits; composites
    ("forward_low_kernel<float, float>", 2, 6),
    ("backward_full_kernel<float, float, false>", 8, 1),  # and the composites' gradient; logits' gradient
    ("backward_low_kernel<float, float, false>", 7, 0),  # logits are too few to matter
    ("blend_forward_full_kernel<float, float>", 2, 6),  # images, masks; composites
    ("blend_forward_low_kernel<float, float>", 1, 6),
    ("blend_backward_full_kernel<float, float, false>", 7, 1),  # images, gradient; masks' gradient
    ("blend_backward_low_kernel<float, float, false>", 7, 0),
]

# An H100 (SXM): 132 multiprocessors of 128 lanes at 1.755 GHz, 3.35 TB/s. A sample writes 12 bytes a pixel: so many
# instructions a sample and thread fit into the time that memory takes. The loop over samples leaves a quarter of that
# to what is done once for a mask or an image.
SAMPLE_INSTRUCTIONS = 80
AFFORDABLE_INSTRUCTIONS = 12 / 3.35e12 * 132 * 128 * 1.755e9
