"""Random models of a few thousand weights, with a real tokenizer, saved as a Hugging Face repository would be.

Weights are wide, so that logits are far apart and rounding does not change which token is likeliest.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

CORPUS = (
    "The quick brown fox jumps over the lazy dog.",
    "Human: what is the capital of France? Assistant: the capital of France is Paris.",
    "Grüße aus Köln, 東京 and 🙂👍🏽 in one line; naïve café.",
)
_VOCABULARY = 320
BOS, EOS, PAD = "<s>", "</s>", "<pad>"
_BOS_ID, EOS_ID, _PAD_ID = 0, 1, 2
_POSITIONS = 96

_IDS = {"vocab_size": _VOCABULARY, "bos_token_id": _BOS_ID, "eos_token_id": EOS_ID, "pad_token_id": _PAD_ID}
_LLAMA_LIKE = {
    **_IDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": _POSITIONS,
}
_GPT_LIKE = {**_IDS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": _POSITIONS, "n_ctx": _POSITIONS}
_FALCON = {
    **_IDS,
    "hidden_size": 32,
    "ffn_hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": _POSITIONS,
}

# architecture, as config.json's model_type, and after a dash its variant -> (config class, its arguments)
_CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", _GPT_LIKE),
    "gptj": ("GPTJConfig", {**_GPT_LIKE, "rotary_dim": 4}),
    "codegen": ("CodeGenConfig", {**_GPT_LIKE, "rotary_dim": 4}),
    "gpt_neo": (
        "GPTNeoConfig",
        {
            **_IDS,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 6,
            "max_position_embeddings": _POSITIONS,
        },
    ),
    "gpt_neox": ("GPTNeoXConfig", {**_LLAMA_LIKE, "num_key_value_heads": 4, "rotary_pct": 0.5}),
    "opt": (
        "OPTConfig",
        {
            **_IDS,
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": _POSITIONS,
        },
    ),
    "bloom": ("BloomConfig", {**_IDS, "hidden_size": 32, "n_layer": 2, "n_head": 4, "seq_length": _POSITIONS}),
    "llama": ("LlamaConfig", _LLAMA_LIKE),
    "mistral": ("MistralConfig", {**_LLAMA_LIKE, "sliding_window": 7}),
    "gemma": ("GemmaConfig", {**_LLAMA_LIKE, "head_dim": 8}),
    "gemma2": ("Gemma2Config", {**_LLAMA_LIKE, "head_dim": 8, "sliding_window": 7}),
    "gemma3_text": ("Gemma3TextConfig", {**_LLAMA_LIKE, "head_dim": 8, "sliding_window": 7}),
    "qwen2": ("Qwen2Config", _LLAMA_LIKE),
    "qwen3": ("Qwen3Config", {**_LLAMA_LIKE, "head_dim": 8}),
    "smollm3": ("SmolLM3Config", {**_LLAMA_LIKE, "no_rope_layer_interval": 2}),  # every second layer has no positions
    "phi": ("PhiConfig", {**_LLAMA_LIKE, "num_key_value_heads": 4}),
    "falcon": ("FalconConfig", {**_FALCON, "multi_query": True, "parallel_attn": True}),
    "falcon-alibi": ("FalconConfig", {**_FALCON, "multi_query": False, "parallel_attn": False, "alibi": True}),
    "falcon-new-decoder": ("FalconConfig", {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "t5": (
        "T5Config",
        {
            **_IDS,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 48,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": _PAD_ID,
            "n_positions": _POSITIONS,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
        },
    ),
    "bart": (
        "BartConfig",
        {
            **_IDS,
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "decoder_start_token_id": EOS_ID,
            "forced_eos_token_id": None,
            "max_position_embeddings": _POSITIONS,
        },
    ),
    "mamba": ("MambaConfig", {**_IDS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
    "lfm2": ("Lfm2Config", {**_LLAMA_LIKE, "layer_types": ["conv", "full_attention"]}),
}

# Without keys and values, in all layers or in some.
RECURRENT = ("mamba", "lfm2")
ARCHITECTURES = tuple(name for name in _CONFIGS if name not in RECURRENT)


def make_tiny_model(architecture: str, directory: Path, *, chat_template: str | None = None) -> Path:
    """Save a model with its tokenizer into `directory`; always the same weights.

    Args:
        architecture: one of `ARCHITECTURES`, or of `RECURRENT`.
    """
    model = tiny_model(architecture, seed=len(architecture))
    model.save_pretrained(directory)
    seq2seq = model.config.is_encoder_decoder
    make_tiny_tokenizer(seq2seq=seq2seq, chat_template=chat_template).save_pretrained(directory)
    return directory


def tiny_model(architecture: str, *, seed: int, **changes: Any) -> Any:
    """A model of `architecture`, its config changed by `changes`."""
    name, arguments = _CONFIGS[architecture]
    config = getattr(transformers, name)(**arguments | changes)
    auto: Any = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    generator = torch.Generator().manual_seed(seed)
    model = auto.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                # Were embeddings as wide, a model that ties them would mostly repeat its last token.
                is_embedding = parameter.shape[0] == config.vocab_size
                parameter.normal_(0.0, 0.1 if is_embedding else 0.3, generator=generator)
    return model.eval()


def make_tiny_tokenizer(*, seq2seq: bool = False, chat_template: str | None = None) -> Any:
    """A byte-level BPE tokenizer; of a seq2seq model it ends prompts with EOS, as T5's does."""
    backend = Tokenizer.from_str(_trained())
    if seq2seq:
        backend.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, EOS_ID)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=BOS, eos_token=EOS, pad_token=PAD, model_max_length=_POSITIONS
    )
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    return tokenizer


@cache
def _trained() -> str:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    return str(backend.to_str())


def cached_models(root: Path) -> Callable[[str], Path]:
    """A function that makes each architecture once, below `root`."""

    @cache
    def make(architecture: str) -> Path:
        return make_tiny_model(architecture, root / architecture)

    return make
