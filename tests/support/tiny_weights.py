"""Tiny random models as PyTorch pickles and GGUF files, written the way others write them."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

HIDDEN, LAYERS, HEADS, KV_HEADS, POSITIONS = 32, 2, 4, 2, 64
# Bytes as GPT-2 spells them, so that any text can be tokenised; then one merge and the end token.
_BYTES = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
TOKENS = [*_BYTES, "th", "<|end|>"]
_PROMPT = [[5, 17, 3, 42, 61, 8]]
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def tiny_llama() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=False,
        eos_token_id=len(TOKENS) - 1,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def tiny_gpt2() -> Any:
    """With tied embeddings, as most old models have them."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=100,
        n_embd=HIDDEN,
        n_layer=LAYERS,
        n_head=HEADS,
        n_positions=POSITIONS,
        bos_token_id=99,
        eos_token_id=99,
    )
    return GPT2LMHeadModel(config).eval()


def logits(model: Any) -> torch.Tensor:
    """What `model` thinks of every token of a fixed prompt."""
    with torch.inference_mode():
        output: torch.Tensor = model(torch.tensor(_PROMPT)).logits
    return output


def greedy(model: Any, *, tokens: int = 12) -> list[int]:
    """What `model` says after a fixed prompt; its end token is ignored."""
    prompt = torch.tensor(_PROMPT)
    output = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        pad_token_id=0,
    )
    return [int(token) for token in output[0]]


def write_gguf(model: Any, path: Path, *, skip: str = "") -> None:
    """A llama as llama.cpp's converter writes it, in F32; tensors named `skip` are left out."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(model.config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(TOKENS)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(TOKENS) - 1) + [gguf.TokenType.CONTROL])
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(len(TOKENS) - 1)
    writer.add_chat_template(CHAT_TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, tensor in model.state_dict().items():
        gguf_name = names.get_name(name, try_suffixes=(".weight",))
        if gguf_name is not None and gguf_name != skip:
            writer.add_tensor(gguf_name, _permuted(name, tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _permuted(name: str, weights: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """llama.cpp interleaves the halves of each head that transformers keeps apart."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return weights
    heads = HEADS if name.endswith("q_proj.weight") else KV_HEADS
    rows, columns = weights.shape
    halves = weights.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))
