"""Every image classifier of transformers, from a small configuration."""

from __future__ import annotations

from typing import Any

_VIT: dict[str, Any] = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
    **{"image_size": 64, "patch_size": 16},
}
_TOWER = {"vision_config": _VIT}
_SWIN: dict[str, Any] = {"image_size": 64, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}
_STAGES: dict[str, Any] = {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1]}

# By class: options of its configuration, and sides of inputs that are tried.
ALL: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "BeitForImageClassification": (_VIT, (64,)),
    "BitForImageClassification": (
        {"embedding_size": 32, "hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 1, 1], "num_groups": 8},
        (64,),
    ),
    "CLIPForImageClassification": (_TOWER, (64,)),
    "ConvNextForImageClassification": (_STAGES, (64,)),
    "ConvNextV2ForImageClassification": (_STAGES, (64,)),
    "CvtForImageClassification": ({"depth": [1, 2, 3], "embed_dim": [32, 64, 96], "num_heads": [1, 2, 4]}, (64,)),
    "Data2VecVisionForImageClassification": (_VIT, (64,)),
    "DeiTForImageClassification": (_VIT, (64,)),
    "DeiTForImageClassificationWithTeacher": (_VIT, (64,)),
    "Dinov2ForImageClassification": (_VIT, (64,)),
    "Dinov2WithRegistersForImageClassification": (_VIT, (64,)),
    "DonutSwinForImageClassification": (_SWIN, (64,)),
    "EfficientNetForImageClassification": (
        {"width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320},
        (64,),
    ),
    "FocalNetForImageClassification": ({"image_size": 64, "embed_dim": 16, "depths": [1, 1, 1, 1]}, (64,)),
    "HGNetV2ForImageClassification": ({}, (64,)),
    "HieraForImageClassification": ({"embed_dim": 16, "image_size": [64, 64], "depths": [1, 1, 1, 1]}, (64,)),
    "IJepaForImageClassification": (_VIT, (64,)),
    "ImageGPTForImageClassification": ({"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}, (8,)),
    "LevitForImageClassification": ({"image_size": 64}, (64, 224)),
    "LevitForImageClassificationWithTeacher": ({"image_size": 64}, (64, 224)),
    "MetaClip2ForImageClassification": (_TOWER, (64,)),
    "MobileNetV1ForImageClassification": ({"depth_multiplier": 0.25}, (64,)),
    "MobileNetV2ForImageClassification": ({"depth_multiplier": 0.35}, (64,)),
    "MobileViTForImageClassification": ({"image_size": 64, "hidden_sizes": [32, 40, 48]}, (64,)),
    "MobileViTV2ForImageClassification": ({"image_size": 64, "width_multiplier": 0.5}, (64,)),
    "PerceiverForImageClassificationConvProcessing": (
        {
            "num_latents": 16,
            "d_latents": 32,
            "num_self_attends_per_block": 1,
            "num_self_attention_heads": 2,
            "num_cross_attention_heads": 1,
        },
        (224,),
    ),
    "PerceiverForImageClassificationLearned": (
        {
            "image_size": 32,
            "num_latents": 16,
            "d_latents": 32,
            "num_self_attends_per_block": 1,
            "num_self_attention_heads": 2,
            "num_cross_attention_heads": 1,
        },
        (32,),
    ),
    "PoolFormerForImageClassification": (_STAGES, (64,)),
    "PPLCNetForImageClassification": ({}, (64,)),
    "PvtForImageClassification": ({"image_size": 64, "hidden_sizes": [16, 32, 40, 64], "depths": [1, 1, 1, 1]}, (64,)),
    "PvtV2ForImageClassification": (
        {"image_size": 64, "hidden_sizes": [16, 32, 40, 64], "depths": [1, 1, 1, 1]},
        (64,),
    ),
    "RegNetForImageClassification": (_STAGES | {"embedding_size": 16, "groups_width": 8}, (64,)),
    "ResNetForImageClassification": (_STAGES | {"embedding_size": 16}, (64,)),
    "SegformerForImageClassification": ({"hidden_sizes": [16, 32, 40, 64], "depths": [1, 1, 1, 1]}, (64,)),
    "SiglipForImageClassification": (_TOWER, (64,)),
    "Siglip2ForImageClassification": ({"vision_config": {**_VIT, "num_patches": 16}}, (64,)),
    "SwiftFormerForImageClassification": ({"embed_dims": [16, 32, 40, 64], "depths": [1, 1, 1, 1]}, (64,)),
    "SwinForImageClassification": (_SWIN, (64,)),
    "Swinv2ForImageClassification": (_SWIN, (64,)),
    "TextNetForImageClassification": ({}, (64,)),
    "TimmWrapperForImageClassification": ({"architecture": "resnet18", "do_pooling": True}, (64,)),
    "ViTForImageClassification": (_VIT, (64,)),
    "ViTMSNForImageClassification": (_VIT, (64,)),
}
"""All of them but DinatForImageClassification, which needs the package natten, and ShieldGemma2, a language model."""


def build(name: str) -> tuple[Any, tuple[int, ...]]:
    """The model, and the sides that are tried."""
    import transformers

    kind = getattr(transformers, name)
    options, sizes = ALL[name]
    return kind(kind.config_class(**options, num_labels=10)), sizes
