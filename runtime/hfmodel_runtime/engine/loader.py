"""From a model directory to a running engine."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.models.auto.configuration_auto import AutoConfig
from transformers.models.auto.tokenization_auto import AutoTokenizer, get_tokenizer_config, tokenizer_class_from_name
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

from hfmodel_api.status import Reason
from hfmodel_api.wire import Stage
from hfmodel_runtime.engine.architecture import SUPPORTED, architecture_name, check_architecture, described
from hfmodel_runtime.engine.attention import group_queries
from hfmodel_runtime.engine.batch import RowBatch, RowTokens
from hfmodel_runtime.engine.causal import CausalBatch
from hfmodel_runtime.engine.context import decoder_start, end_tokens, model_length
from hfmodel_runtime.engine.cpus import available_cpus
from hfmodel_runtime.engine.directory import check_tokenizer_files, check_weights, read_config
from hfmodel_runtime.engine.engine import ModelFacts, TransformersEngine
from hfmodel_runtime.engine.failures import LoadFailure
from hfmodel_runtime.engine.info import WeightCount, count_weights, memory_usage, runtime_info
from hfmodel_runtime.engine.machine import Machine, ThisMachine
from hfmodel_runtime.engine.memory import cache_token_budget
from hfmodel_runtime.engine.placement import choose_device, choose_dtype
from hfmodel_runtime.engine.preflight import Candidate, check_memory
from hfmodel_runtime.engine.protocol import Engine, EngineLimits, LoadOptions
from hfmodel_runtime.engine.quantization import check_quantization
from hfmodel_runtime.engine.selftest import VERIFIED, SelfTest, reference_for
from hfmodel_runtime.engine.seq2seq import Seq2SeqBatch
from hfmodel_runtime.engine.stored import pickled_weights, stored_weights
from hfmodel_runtime.engine.tokenizer import ModelTokenizer
from hfmodel_runtime.engine.weights import device_map, load_model

__all__ = ["LoadFailure", "load_engine"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A model and what goes with it, before it runs."""

    model: Any
    tokenizer: Any
    device: torch.device
    weights: WeightCount
    facts: ModelFacts
    batch: RowBatch


def load_engine(options: LoadOptions, *, machine: Machine | None = None) -> Engine:
    """A running engine for `options.path`, warmed up by one token.

    Args:
        machine: what there is to compute with; this one if not given.

    Raises:
        LoadFailure: with the reason and what to do about it.
    """
    started = time.monotonic()
    torch.set_num_threads(options.threads or available_cpus())
    loaded = _load(options, machine or ThisMachine())
    options.reached(Stage.WEIGHTS)
    with torch.inference_mode():
        bytes_per_token = _warm_up(loaded)
        budget = cache_token_budget(bytes_per_token=bytes_per_token, device=loaded.device)
        max_running = _safe_rows(loaded, options.max_running)
    limits = EngineLimits(
        max_length=_max_length(options, loaded, budget),
        max_running=max_running,
        max_queued=options.max_queued,
        vocab_size=loaded.facts.vocabulary,
    )
    seq2seq = loaded.facts.decoder_start is not None
    tokenizer = ModelTokenizer(loaded.tokenizer, model_type=options.type, seq2seq=seq2seq)
    info = runtime_info(
        options,
        loaded.model,
        memory=memory_usage(loaded.weights, bytes_per_token=bytes_per_token, token_budget=budget),
        seq2seq=seq2seq,
        max_length=limits.max_length,
        chat_format=tokenizer.chat_format,
        started=started,
    )
    logger.info(
        "model loaded architecture=%s device=%s dtype=%s max_length=%d max_running=%d token_budget=%d seconds=%.2f",
        *(info.architecture, info.device, info.dtype, limits.max_length, max_running, budget, info.load_seconds),
    )
    return TransformersEngine(
        batch=loaded.batch, tokenizer=tokenizer, facts=loaded.facts, info=info, limits=limits, token_budget=budget
    )


def _load(options: LoadOptions, machine: Machine) -> _Loaded:
    directory = Path(options.path)
    raw_config = read_config(directory)
    check_architecture(raw_config, trust_remote_code=options.trust_remote_code)
    check_tokenizer_files(directory)
    model = _load_model(options, raw_config, machine)
    tokenizer = _tokenizer(directory, trust_remote_code=options.trust_remote_code)
    start = decoder_start(model)
    facts = ModelFacts(
        vocabulary=model.get_input_embeddings().weight.shape[0],
        eos_ids=end_tokens(model, tokenizer),
        decoder_start=start,
    )
    weights = count_weights(model.parameters())
    batch = CausalBatch(model) if start is None else Seq2SeqBatch(model, start=start)
    device = model.get_input_embeddings().weight.device
    return _Loaded(model=model, tokenizer=tokenizer, device=device, weights=weights, facts=facts, batch=batch)


def _load_model(options: LoadOptions, raw_config: dict[str, Any], machine: Machine) -> Any:
    """The model, once all that can be known before its weights are touched speaks for it."""
    name, directory = architecture_name(raw_config), Path(options.path)
    device = choose_device(options.device, machine)
    group_queries(device)
    quantization = check_quantization(raw_config, device_map=device_map(device))
    config = _config(directory, trust_remote_code=options.trust_remote_code)
    files = check_weights(directory, allow_pickle=options.allow_pickle)
    stored = pickled_weights(files.paths, raw_config) if files.pickled else stored_weights(files.paths)
    if quantization is not None and quantization.unpacked:
        stored = stored.unpacked()
    dtype = choose_dtype(options.dtype, device, machine, stored)
    check_memory(Candidate(name=name, config=config, stored=stored, dtype=dtype, device=device), machine)
    model = load_model(
        files,
        config,
        device=device,
        dtype=dtype,
        quantization=quantization,
        trust_remote_code=options.trust_remote_code,
    )
    if not model.can_generate():
        raise LoadFailure(Reason.ARCHITECTURE_NOT_SUPPORTED, f"{name} does not generate text. {SUPPORTED}")
    return model


def _config(directory: Path, *, trust_remote_code: bool) -> Any:
    try:
        return AutoConfig.from_pretrained(directory, trust_remote_code=trust_remote_code, local_files_only=True)
    except Exception as error:
        # Configs check themselves in many ways, and remote code may raise anything.
        raise LoadFailure(Reason.CONFIG_INVALID, f"config.json is not valid: {error}") from error


def _tokenizer(directory: Path, *, trust_remote_code: bool) -> Any:
    try:
        loaded = AutoTokenizer.from_pretrained(directory, trust_remote_code=trust_remote_code, local_files_only=True)
        # For some architectures (mistral) AutoTokenizer takes its general class, whatever the files name. That class
        # needs a tokenizer.json: of a vocabulary alone it makes other tokens, and no error.
        general = type(loaded) is PreTrainedTokenizerFast and not (directory / "tokenizer.json").is_file()
        named = _named_tokenizer(directory) if general else None
        return loaded if named is None else named.from_pretrained(directory, local_files_only=True)
    except Exception as error:
        # The tokenizers library raises bare Exceptions.
        raise LoadFailure(Reason.CONFIG_INVALID, f"the tokenizer cannot be loaded: {error}") from error


def _named_tokenizer(directory: Path) -> Any:
    """The class of transformers that tokenizer_config.json names, if any."""
    name = get_tokenizer_config(directory, local_files_only=True).get("tokenizer_class")
    return tokenizer_class_from_name(name) if isinstance(name, str) else None


def _warm_up(loaded: _Loaded) -> int:
    """Compute one token, so that no caller pays for what happens only once; returns a token's bytes in the cache.

    A second one only where nobody knows yet whether the engine can: after it, a batch begins to look for faster forms
    of its weights (`improve`), which takes longer than all the rest.
    """
    batch, name = loaded.batch, described(loaded.model.config.to_dict())
    try:
        prefill = batch.prefill([RowTokens((0,))])
        prefill.advance()
        batch.join(prefill, [0])
        if not _is_verified(loaded.model):
            batch.step([0])
        bytes_per_token = batch.bytes_per_token()
    except Exception as error:
        raise LoadFailure(
            Reason.ARCHITECTURE_NOT_SUPPORTED,
            f"{name} cannot be computed by this engine: {type(error).__name__}: {error}. {SUPPORTED}",
        ) from error
    finally:
        batch.clear()
    if bytes_per_token == 0:
        raise LoadFailure(
            Reason.ARCHITECTURE_NOT_SUPPORTED, f"{name} keeps no keys and values, which this engine needs. {SUPPORTED}"
        )
    return bytes_per_token


def _safe_rows(loaded: _Loaded, wanted: int) -> int:
    """Rows that may decode together: one, for a model whose answers would depend on its neighbours."""
    config = loaded.model.config
    if _is_verified(loaded.model):
        return wanted
    if wanted == 1:
        loaded.batch.simplify()  # nobody would gain by what is not tested
        return wanted
    test = SelfTest(
        loaded.batch,
        reference_for(loaded.model, loaded.facts.decoder_start),
        vocabulary=loaded.facts.vocabulary,
    )
    alone, together = _tested(test)
    if not (alone and together) and loaded.batch.simplify():
        alone, together = _tested(test)
    if not alone:
        raise LoadFailure(
            Reason.ARCHITECTURE_NOT_SUPPORTED,
            f"{described(config.to_dict())} computes something else with this engine's cache than without. {SUPPORTED}",
        )
    if together:
        return wanted
    logger.warning("batching changes the answers of model_type=%s: one sequence at a time", config.model_type)
    return 1


def _is_verified(model: Any) -> bool:
    """Whether the tests compare what it computes. Its repository's own code may call itself what it likes."""
    return model.config.model_type in VERIFIED and type(model).__module__.startswith("transformers.models.")


def _tested(test: SelfTest) -> tuple[bool, bool]:
    """Whether rows are right alone, and together too."""
    alone = test.passes_alone()
    return alone, alone and test.passes_together()


def _max_length(options: LoadOptions, loaded: _Loaded, budget: int) -> int:
    """What the model, the options and the memory for one sequence allow."""
    rooms = budget if loaded.facts.decoder_start is None else (budget - len(loaded.facts.decoder_start)) // 2
    bounds = [model_length(loaded.model.config, loaded.tokenizer), rooms]
    if options.max_length is not None:
        bounds.append(options.max_length)
    return max(1, min(bounds))
