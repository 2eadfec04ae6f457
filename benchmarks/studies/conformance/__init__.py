"""Which models run as they are: families of timm, torchvision, transformers, CLIP and others, with random weights."""
