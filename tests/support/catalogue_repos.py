"""The repositories of the example catalogue, of the old server's guide, and of each other architecture, in small:
random weights of the same architecture, the same tokenizer class, and the same kinds of files.

What each repository has is from its page on the Hub: several have pickles and nothing else, some have no
tokenizer.json, large ones are split into shards.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from safetensors.torch import load_file
from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

from support.tiny_models import BOS, CORPUS, EOS, PAD, make_tiny_tokenizer, tiny_model

_POSITIONS = 256
_SHARD = "40KB"
_PIECES = 420
# The ids of special tokens in sentencepiece models, as their makers have them.
_T5_IDS = {"pad": 0, "eos": 1, "unk": 2, "bos": -1}
_GEMMA_IDS = {"pad": 0, "eos": 1, "bos": 2, "unk": 3}
_LLAMA2_IDS = {"unk": 0, "bos": 1, "eos": 2, "pad": -1}
_LLAMA3_CHAT = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
)
_DIALOGPT_CHAT = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"
_QWEN_CHAT = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_GEMMA_CHAT = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
_MISTRAL_CHAT = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """What a repository has. `tokenizer` is the class that its files name."""

    architecture: str
    tokenizer: str
    pickled: bool = False
    sharded: bool = False
    gated: bool = False
    chat_template: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


_DIALOGPT = StandIn(architecture="gpt2", tokenizer="GPT2Tokenizer", pickled=True, chat_template=_DIALOGPT_CHAT)
_GPT2 = StandIn(architecture="gpt2", tokenizer="GPT2TokenizerFast")
_CODEGEN = StandIn(architecture="codegen", tokenizer="CodeGenTokenizer", pickled=True)
_FLAN_T5 = StandIn(architecture="t5", tokenizer="T5Tokenizer", config={"vocab_size": 168})
_OPT = StandIn(architecture="opt", tokenizer="OPTTokenizer", pickled=True)
_LLAMA3 = StandIn(
    architecture="llama",
    tokenizer="PreTrainedTokenizerFast",
    gated=True,
    config={
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
)

CATALOGUE: Mapping[str, StandIn] = {
    "microsoft/DialoGPT-small": _DIALOGPT,
    "microsoft/DialoGPT-medium": _DIALOGPT,
    "gpt2": _GPT2,
    "distilgpt2": StandIn(architecture="gpt2", tokenizer="GPT2TokenizerFast", config={"n_layer": 1}),
    "gpt2-medium": StandIn(architecture="gpt2", tokenizer="GPT2TokenizerFast", config={"n_layer": 3}),
    "Salesforce/codegen-350M-mono": _CODEGEN,
    "Salesforce/codegen-2B-mono": _CODEGEN,
    "google/flan-t5-small": _FLAN_T5,
    "google/flan-t5-base": _FLAN_T5,
    "facebook/opt-125m": _OPT,
    # Embeddings narrower than the layers, and the norm after them.
    "facebook/opt-350m": StandIn(
        architecture="opt",
        tokenizer="OPTTokenizer",
        pickled=True,
        config={"word_embed_proj_dim": 16, "do_layer_norm_before": False},
    ),
    "EleutherAI/pythia-160m": StandIn(architecture="gpt_neox", tokenizer="GPTNeoXTokenizer"),
    "bigscience/bloom-560m": StandIn(architecture="bloom", tokenizer="BloomTokenizerFast"),
    "meta-llama/Llama-3.2-1B": _LLAMA3,
    "meta-llama/Llama-3.2-3B": StandIn(
        architecture="llama", tokenizer="PreTrainedTokenizerFast", gated=True, sharded=True, config=_LLAMA3.config
    ),
    "meta-llama/Llama-3.2-1B-Instruct": StandIn(
        architecture="llama",
        tokenizer="PreTrainedTokenizerFast",
        gated=True,
        chat_template=_LLAMA3_CHAT,
        config=_LLAMA3.config,
    ),
    "google/gemma-2b": StandIn(
        architecture="gemma", tokenizer="GemmaTokenizer", gated=True, sharded=True, config={"vocab_size": _PIECES + 4}
    ),
}
GUIDE: Mapping[str, StandIn] = {
    "microsoft/DialoGPT-large": _DIALOGPT,
    "Salesforce/codegen-6B-mono": _CODEGEN,
    "google/flan-t5-large": _FLAN_T5,
    "EleutherAI/gpt-neo-1.3B": StandIn(architecture="gpt_neo", tokenizer="GPT2Tokenizer"),
    "lmsys/vicuna-7b-v1.5": StandIn(
        architecture="llama", tokenizer="LlamaTokenizer", pickled=True, sharded=True, config={"vocab_size": _PIECES}
    ),
}
_PLAIN = "PreTrainedTokenizerFast"
_ALL_PIECES = {"vocab_size": _PIECES + 4}
# What neither has, and the issue asks for, or is verified.
OTHERS: Mapping[str, StandIn] = {
    "EleutherAI/gpt-j-6b": StandIn(architecture="gptj", tokenizer="GPT2Tokenizer", pickled=True),
    "google/gemma-2-2b-it": StandIn(
        architecture="gemma2", tokenizer="GemmaTokenizer", chat_template=_GEMMA_CHAT, config=_ALL_PIECES
    ),
    "google/gemma-3-1b-it": StandIn(
        architecture="gemma3_text", tokenizer="GemmaTokenizer", chat_template=_GEMMA_CHAT, config=_ALL_PIECES
    ),
    "mistralai/Mistral-7B-Instruct-v0.1": StandIn(
        architecture="mistral",
        tokenizer="LlamaTokenizer",
        sharded=True,
        chat_template=_MISTRAL_CHAT,
        config={"vocab_size": _PIECES},
    ),
    "Qwen/Qwen2.5-0.5B-Instruct": StandIn(architecture="qwen2", tokenizer="Qwen2Tokenizer", chat_template=_QWEN_CHAT),
    "Qwen/Qwen3-0.6B": StandIn(architecture="qwen3", tokenizer="Qwen2Tokenizer", chat_template=_QWEN_CHAT),
    "HuggingFaceTB/SmolLM3-3B": StandIn(architecture="smollm3", tokenizer=_PLAIN, chat_template=_QWEN_CHAT),
    "microsoft/phi-2": StandIn(architecture="phi", tokenizer="CodeGenTokenizer", sharded=True),
    "tiiuae/falcon-7b": StandIn(architecture="falcon", tokenizer=_PLAIN, sharded=True),
    "tiiuae/falcon-rw-1b": StandIn(architecture="falcon-alibi", tokenizer="GPT2TokenizerFast", pickled=True),
    "tiiuae/falcon-40b": StandIn(architecture="falcon-new-decoder", tokenizer=_PLAIN),
}


@dataclass(frozen=True)
class Reference:
    """What transformers itself says with a repository's weights and its tokenizer's files."""

    model: Any
    tokenizer: Any

    @property
    def seq2seq(self) -> bool:
        return bool(self.model.config.is_encoder_decoder)

    def says(self, prompt: list[int], *, new_tokens: int) -> str:
        """What comes after `prompt`, greedily."""
        tokens = torch.tensor([prompt])
        output = self.model.generate(
            tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=new_tokens
        )[0].tolist()
        if self.seq2seq:
            return self._text(output)
        return self._text(output)[len(self._text(prompt)) :]

    def chat_prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The prompt that the model's own template makes."""
        token_ids: list[int] = self.tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, return_dict=False
        )
        return token_ids

    def _text(self, token_ids: list[int]) -> str:
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def write_repo(stand_in: StandIn, *, seed: int, directory: Path) -> Any:
    """Write its files into `directory`; returns the model."""
    directory.mkdir(parents=True)
    ids = write_tokenizer(stand_in, directory)
    length = {"n_positions": _POSITIONS, "max_position_embeddings": _POSITIONS, "seq_length": _POSITIONS}
    model = tiny_model(stand_in.architecture, seed=seed, **length | ids | dict(stand_in.config))
    _never_say(model, model.config.eos_token_id)
    model.save_pretrained(directory, max_shard_size=_SHARD if stand_in.sharded else "1GB")
    if stand_in.pickled:
        _pickle(directory, model)
    return model


def _never_say(model: Any, token_id: int) -> None:
    """Give it a logit of zero; among random ones some are always greater."""
    with torch.no_grad():
        model.get_output_embeddings().weight[token_id] = 0


def _pickle(directory: Path, model: Any) -> None:
    """The weights as torch saves them, in place of safetensors; tied ones are in there twice, as they used to be."""
    if (index := directory / "model.safetensors.index.json").exists():
        for shard in directory.glob("*.safetensors"):
            torch.save(load_file(shard), directory / _pickled(shard.name))
        listed = json.loads(index.read_text())
        listed["weight_map"] = {key: _pickled(name) for key, name in listed["weight_map"].items()}
        (directory / "pytorch_model.bin.index.json").write_text(json.dumps(listed))
        index.unlink()
    else:
        torch.save(model.state_dict(), directory / "pytorch_model.bin")
    for path in directory.glob("*.safetensors"):
        path.unlink()


def _pickled(name: str) -> str:
    return name.replace("model", "pytorch_model").replace(".safetensors", ".bin")


def write_tokenizer(stand_in: StandIn, directory: Path) -> dict[str, int]:
    """Write the files that the class reads; returns the ids of special tokens as a config names them."""
    ids = _write_files(stand_in.tokenizer, directory)
    if stand_in.chat_template is not None:
        # Where repositories of its time have it.
        _set(directory, chat_template=stand_in.chat_template)
    return ids


def own_tokenizer(stand_in: StandIn, directory: Path) -> Any:
    """Of the class that its files name: AutoTokenizer has a mind of its own for some architectures."""
    named: Any = tokenizer_class_from_name(_class_name(stand_in.tokenizer))
    return named.from_pretrained(directory)


def _class_name(tokenizer: str) -> str:
    """OPT has GPT-2's, with a begin token."""
    return tokenizer.replace("OPT", "GPT2")


def _write_files(tokenizer: str, directory: Path) -> dict[str, int]:
    match tokenizer:
        case "T5Tokenizer":
            ids = _write_pieces(directory / "spiece.model", _T5_IDS, model_type="unigram", vocab_size=120)
            transformers.T5Tokenizer.from_pretrained(directory).save_pretrained(directory)
            return {**ids, "decoder_start_token_id": ids["pad_token_id"]}
        case "GemmaTokenizer":
            ids = _write_pieces(directory / "tokenizer.model", _GEMMA_IDS, byte_fallback=True, vocab_size=_PIECES)
            transformers.GemmaTokenizer.from_pretrained(directory).save_pretrained(directory)
            return ids
        case "LlamaTokenizer":
            # No tokenizer.json here: only the pieces.
            ids = _write_pieces(directory / "tokenizer.model", _LLAMA2_IDS, byte_fallback=True, vocab_size=_PIECES)
            tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
            _write(directory / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer", **tokens})
            return ids
        case _:
            _write_byte_level(tokenizer, directory)
            return {}


def _write_byte_level(tokenizer: str, directory: Path) -> None:
    make_tiny_tokenizer().save_pretrained(directory)
    _set(directory, tokenizer_class=_class_name(tokenizer), unk_token=EOS)
    _set(directory, bos_token=BOS, eos_token=EOS, pad_token=PAD)
    match tokenizer:
        case "OPTTokenizer":
            _set(directory, add_bos_token=True)
        case "Qwen2Tokenizer":
            _set(directory, bos_token=None)
    if tokenizer in ("GPT2Tokenizer", "OPTTokenizer", "CodeGenTokenizer", "Qwen2Tokenizer"):
        _split_vocabulary(directory)


def _set(directory: Path, **settings: Any) -> None:
    path = directory / "tokenizer_config.json"
    _write(path, json.loads(path.read_text(encoding="utf-8")) | settings)


def _split_vocabulary(directory: Path) -> None:
    """vocab.json and merges.txt in place of tokenizer.json."""
    backend = json.loads((directory / "tokenizer.json").read_text())["model"]
    _write(directory / "vocab.json", backend["vocab"])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in backend["merges"]]
    (directory / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    (directory / "tokenizer.json").unlink()


def _write_pieces(path: Path, ids: Mapping[str, int], **training: Any) -> dict[str, int]:
    written = io.BytesIO()
    options: dict[str, Any] = {
        "model_type": "bpe",
        **training,
        **{f"{name}_id": number for name, number in ids.items()},
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 20),
        model_writer=written,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
        **options,
    )
    path.write_bytes(written.getvalue())
    return {f"{name}_token_id": token_id for name, token_id in ids.items() if token_id >= 0}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
