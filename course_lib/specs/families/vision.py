"""Models which see: ViT stands for `ViTForImageClassification`, CLIP for `CLIPModel` of
`transformers`, or for what `architectures` name: without a head, with a pooler, a tower
of CLIP alone.
"""

from dataclasses import replace

from course_lib.specs.classes import BACKBONE, LABELS, Ends
from course_lib.specs.families.gpt import full_attention, layer_norm, mlp
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    EmbeddingSpec,
    LayerSpec,
    ModelSpec,
    NormSpec,
    PatchSpec,
)

VIT = {
    "ForImageClassification": Ends(head="classifier", outputs=LABELS),
    "Model": Ends(head="pooler"),
}
CLIP = {
    "Model": Ends(head="projection"),
    "TextModel": Ends(head="none", stack="text"),
    "TextModelWithProjection": Ends(head="projection", stack="text"),
    "VisionModel": Ends(head="none", stack="vision"),
    "VisionModelWithProjection": Ends(head="projection", stack="vision"),
    "ForImageClassification": Ends(head="classifier", outputs=LABELS, stack="vision"),
}
CLIP_TOWER = {"Model": BACKBONE, "ModelWithProjection": Ends(head="projection")}


def vit(config: Config) -> ModelSpec:
    """Pre-norm encoder on patches and a class token, which a linear layer
    classifies.
    """
    norm = layer_norm(config.number("layer_norm_eps", 1e-12))
    layer = encoder_layer(config, norm, causal=False)
    if not config.flag("qkv_bias", True):
        layer = replace(layer, mixer=replace(layer.mixer, bias_qkv=False))
    return image_model(config, layer)


def clip(config: Config) -> ModelSpec:
    """A causal text tower and an image tower (`vision`), each projected to
    `projection_dim`.
    """
    outputs = config.count("projection_dim")
    text = config.nested("text_config", "clip_text_model")
    image = config.nested("vision_config", "clip_vision_model")
    return replace(
        clip_text_tower(text, outputs),
        name="clip",
        family="clip",
        vision=clip_image_tower(image, outputs),
    )


def clip_text_model(config: Config) -> ModelSpec:
    """CLIP's text tower in a config of its own, as image generators have it."""
    return clip_text_tower(config, config.count("projection_dim", 512))


def clip_vision_model(config: Config) -> ModelSpec:
    """CLIP's image tower in a config of its own."""
    return clip_image_tower(config, config.count("projection_dim", 512))


def clip_text_tower(config: Config, outputs: int) -> ModelSpec:
    """Return CLIP's decoder of texts, projected to `outputs`."""
    norm = layer_norm(config.number("layer_norm_eps", 1e-5))
    context = config.count("max_position_embeddings")
    layer = encoder_layer(config, norm, causal=True, activation="quick_gelu")
    return ModelSpec(
        name=config.model_type,
        family=config.model_type,
        width=config.count("hidden_size"),
        vocab=config.count("vocab_size"),
        layers=(layer,) * config.layers(),
        embeddings=EmbeddingSpec(learned_positions=context),
        final_norm=norm,
        head="projection",
        outputs=outputs,
        context=context,
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
