"""A GGUF file as a transformers model directory: float32 weights, config and tokenizer from its metadata."""

import logging
from pathlib import Path
from typing import Any

from gguf import GGUFReader
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure
from hfmodel_runtime.fetch.sizes import FLOAT32_BYTES, EnsureSpace

logger = logging.getLogger(__name__)

_SHARD_SIZE = "5GB"


def convert_gguf(file: Path, target: Path, *, ensure: EnsureSpace) -> None:
    """Write the model of `file` into `target`.

    Raises:
        FetchFailure: NoSpace, ArchitectureNotSupported, WeightsInvalid.
        ValueError: `file` is damaged or no GGUF file (also other exceptions of gguf and transformers).
    """
    needed = sum(int(tensor.n_elements) for tensor in GGUFReader(file).tensors) * FLOAT32_BYTES
    ensure(target, needed=needed, what=f"{file.name} as float32 safetensors")
    where, options = str(file.parent), {"gguf_file": file.name}
    config = _config(where, options)
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model, report = auto.from_pretrained(where, config=config, dtype="float32", output_loading_info=True, **options)
    _refuse_gaps(file, report)
    # The loader leaves marks of a quantisation that is gone by now; with them `save_pretrained` refuses.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target, max_shard_size=_SHARD_SIZE)
    AutoTokenizer.from_pretrained(where, **options).save_pretrained(target)


def _config(where: str, options: dict[str, Any]) -> Any:
    try:
        return AutoConfig.from_pretrained(where, **options)
    except ValueError as error:
        if "architecture" not in str(error):
            raise
        message = f"{options['gguf_file']}: {error}; use a repository with safetensors"
        raise FetchFailure(Reason.ARCHITECTURE_NOT_SUPPORTED, message) from error


def _refuse_gaps(file: Path, report: Any) -> None:
    # A tensor that the file lacks would silently be random.
    if missing := sorted(report["missing_keys"]):
        message = f"{file.name} lacks {len(missing)} of the model's tensors, such as {missing[0]}"
        raise FetchFailure(Reason.WEIGHTS_INVALID, message)
