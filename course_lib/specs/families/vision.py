"""Models which see: ViT stands for `ViTForImageClassification`, CLIP for `CLIPModel` of
`transformers`.
"""

from dataclasses import replace

from course_lib.specs.families.gpt import full_attention, layer_norm, mlp
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    EmbeddingSpec,
    LayerSpec,
    ModelSpec,
    NormSpec,
    PatchSpec,
)


def vit(config: Config) -> ModelSpec:
    """Pre-norm encoder on patches and a class token, which a linear layer
    classifies.
    """
    norm = layer_norm(config.number("layer_norm_eps", 1e-12))
    layer = encoder_layer(config, norm, causal=False)
    if not config.flag("qkv_bias", True):
        layer = replace(layer, mixer=replace(layer.mixer, bias_qkv=False))
    return image_model(config, layer, head="classifier", outputs=labels(config))


def clip(config: Config) -> ModelSpec:
    """A causal text tower and an image tower (`vision`), each projected to
    `projection_dim`.
    """
    text, outputs = (
        config.nested("text_config", "clip_text_model"),
        config.count("projection_dim"),
    )
    image = config.nested("vision_config", "clip_vision_model")
    norm = layer_norm(text.number("layer_norm_eps", 1e-5))
    context = text.count("max_position_embeddings")
    return ModelSpec(
        name="clip",
        family="clip",
        width=text.count("hidden_size"),
        vocab=text.count("vocab_size"),
        layers=(encoder_layer(text, norm, causal=True, activation="quick_gelu"),)
        * text.layers(),
        embeddings=EmbeddingSpec(learned_positions=context),
        final_norm=norm,
        head="projection",
        outputs=outputs,
        context=context,
        vision=clip_image_tower(image, outputs),
    )


def clip_image_tower(config: Config, outputs: int) -> ModelSpec:
    """Return CLIP's ViT: no bias on the patches, and one more norm before the first
    layer.
    """
    norm = layer_norm(config.number("layer_norm_eps", 1e-5))
    layer = encoder_layer(config, norm, causal=False, activation="quick_gelu")
    tower = image_model(config, layer, head="projection", outputs=outputs)
    return replace(
        tower,
        patches=replace(tower.patches, bias=False),
        embeddings=replace(tower.embeddings, norm=norm),
    )


def encoder_layer(
    config: Config, norm: NormSpec, *, causal: bool, activation: str = "gelu"
) -> LayerSpec:
    """Return a pre-norm block with biases."""
    return LayerSpec(
        mixer=full_attention(
            config.count("hidden_size"),
            config.count("num_attention_heads"),
            causal=causal,
        ),
        ffn=mlp(
            config.count("intermediate_size"), config.word("hidden_act", activation)
        ),
        norm=norm,
    )


def image_model(config: Config, layer: LayerSpec, **head) -> ModelSpec:
    """Return a stack over an image's patches, with a learned position for each and for
    the class token.
    """
    image, patch = config.count("image_size"), config.count("patch_size")
    if image < patch:
        raise ValueError(
            f"config field 'patch_size': {patch} is above the image_size of {image}"
        )
    patches = PatchSpec(
        image=image, patch=patch, channels=config.count("num_channels", 3)
    )
    tokens = (image // patch) ** 2 + 1
    return ModelSpec(
        name=config.model_type,
        family=config.model_type,
        width=config.count("hidden_size"),
        layers=(layer,) * config.layers(),
        embeddings=EmbeddingSpec(learned_positions=tokens),
        final_norm=layer.norm,
        context=tokens,
        patches=patches,
        **head,
    )


def labels(config: Config) -> int:
    """Return the number of classes: `num_labels`, or as many as `id2label` names, or
    two.
    """
    return config.count("num_labels", None) or len(config.get("id2label", ())) or 2
