"""Conditional memory equals that of `transformers`: n-grams of Qwen4-Exp, per-layer rows of Gemma 4."""

import torch
from transformers.models.gemma4 import modeling_gemma4
from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig
from transformers.models.qwen4_exp import modeling_qwen4_exp
from transformers.models.qwen4_exp.configuration_qwen4_exp import Qwen4ExpTextConfig

from course_lib.layers.feed_forward.ngram_memory import Engram, NGramTable
from course_lib.layers.feed_forward.per_layer_embedding import PerLayerEmbedding, PerLayerGate

from .against_transformers import TOLERANCE, in_float64

D, VOCAB, EOS = 12, 31, 3


def randomise(module):
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)


def test_engram_is_each_stream_of_their_n_gram_layer():
    torch.manual_seed(0)
    config = Qwen4ExpTextConfig(
        hidden_size=D,
        vocab_size=VOCAB,
        hc_count=2,
        ple_layer_ids=[1],
        ple_embed_dim=20,
        ngram_size=3,
        heads_per_ngram=2,
        ngram_vocab_size_base=41,
        make_ngram_vocab_size_divisible_by=1,
        eos_token_id=EOS,
    )
    with in_float64(modeling_qwen4_exp):
        theirs = modeling_qwen4_exp.Qwen4ExpTextPLELayer(config, layer_idx=0, ple_layer_index=0).double()
        randomise(theirs)
        embedding, streams = theirs.ple_embedding, torch.randn(2, 17, 2 * D)
        tokens = torch.randint(VOCAB, (2, 17))
        tokens[0, [4, 9]] = EOS
        expected = theirs(streams, tokens, None)
        for own in (slice(0, D), slice(D, 2 * D)):
            table = NGramTable(VOCAB, rows=40, width=5, n=3, heads=2, pad=EOS)
            assert table.sizes.flatten().tolist() == embedding.head_vocab_sizes
            table.multipliers = embedding.layer_multipliers
            ours = Engram(D, table, eps=config.rms_norm_eps).double()
            table.table.weight.data = embedding.ngram_embedding.weight.data
            ours.key.weight.data = theirs.key_proj.weight.data[own]
            ours.value.weight.data = theirs.value_proj.weight.data
            for name in ("key", "query", "conv"):
                norm = getattr(theirs, f"norm_{name}").weight.data[own]
                getattr(ours, f"{name}_norm").weight.data = 1 + norm
            ours.conv.data = theirs.conv1d.weight.data[own, 0]
            torch.testing.assert_close(ours(streams[..., own], tokens), expected[..., own], **TOLERANCE)


def test_per_layer_embeddings_are_gemmas():
    torch.manual_seed(0)
    config = Gemma4TextConfig(
        hidden_size=D,
        vocab_size=VOCAB,
        vocab_size_per_layer_input=VOCAB,
        hidden_size_per_layer_input=6,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=6,
        global_head_dim=6,
        intermediate_size=8,
        layer_types=["sliding_attention", "full_attention"],
    )
    with in_float64(modeling_gemma4):
        theirs = modeling_gemma4.Gemma4TextModel(config).double()
        randomise(theirs)
        ours = PerLayerEmbedding(VOCAB, D, 2, 6, eps=config.rms_norm_eps).double()
        ours.table.weight.data = theirs.embed_tokens_per_layer.weight.data
        ours.project.weight.data = theirs.per_layer_model_projection.weight.data
        ours.norm.weight.data = theirs.per_layer_projection_norm.weight.data
        tokens, x = torch.randint(VOCAB, (2, 7)), torch.randn(2, 7, D)
        rows = theirs.project_per_layer_inputs(x, theirs.get_per_layer_inputs(tokens))
        torch.testing.assert_close(ours(tokens, x), rows, **TOLERANCE)

        layer, gate = theirs.layers[1], PerLayerGate(D, 6, eps=config.rms_norm_eps).double()
        gate.gate.weight.data = layer.per_layer_input_gate.weight.data
        gate.out.weight.data = layer.per_layer_projection.weight.data
        gate.norm.weight.data = layer.post_per_layer_input_norm.weight.data
        inner = layer.act_fn(layer.per_layer_input_gate(x)) * rows[:, :, 1]
        expected = layer.post_per_layer_input_norm(layer.per_layer_projection(inner))
        torch.testing.assert_close(gate(x, rows[:, :, 1]), expected, **TOLERANCE)
