"""A baseline: one `generate` at a time, as the old server computed, behind the very HTTP layer of the runtime."""

import asyncio
import queue
import sys
import threading
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from hfmodel_api.wire import MemoryUsage, RuntimeInfo
from hfmodel_runtime.engine.context import model_length
from hfmodel_runtime.engine.detokenize import Detokenizer
from hfmodel_runtime.engine.protocol import (
    EngineLimits,
    FinishReason,
    Load,
    LoadOptions,
    SequenceEvent,
    SequenceRequest,
    Sink,
)
from hfmodel_runtime.engine.tokenizer import ModelTokenizer
from hfmodel_runtime.server.listening import listen
from hfmodel_runtime.server.process import ServingProcess
from hfmodel_runtime.settings import ServeSettings


class Uncancelled:
    """`Ticket` of a server that computes every answer to its end."""

    def cancel(self) -> None:
        """Nothing: the old server did not notice that a caller had gone."""


class Streamer:
    """What `generate` tells of its tokens, told on to a sink."""

    def __init__(self, tokenizer: ModelTokenizer, request: SequenceRequest, sink: Sink) -> None:
        self._text = Detokenizer(tokenizer.decode_all, special_ids=tokenizer.special_ids, context=request.prompt)
        self._sink = sink
        self._prompt_seen = False

    def put(self, token_ids: torch.Tensor) -> None:
        """The first call brings the prompt, each later one a token."""
        if self._prompt_seen:
            token_id = int(token_ids)
            self._sink(SequenceEvent(text=self._text.push(token_id), token_ids=(token_id,)))
        self._prompt_seen = True

    def end(self) -> None:
        self._sink(SequenceEvent(text=self._text.flush(), finish_reason=FinishReason.LENGTH))


class OneAtATime:
    """`Engine` that calls the model's own `generate` for one greedy sequence after the other."""

    def __init__(self, options: LoadOptions) -> None:
        if options.threads:
            torch.set_num_threads(options.threads)
        self._model: Any = AutoModelForCausalLM.from_pretrained(options.path, dtype=torch.float32).eval()
        loaded = AutoTokenizer.from_pretrained(options.path)
        self.tokenizer = ModelTokenizer(loaded, model_type=options.type, seq2seq=False)
        self.limits = EngineLimits(max_length=model_length(self._model.config, loaded), max_queued=options.max_queued)
        self.info = _info(options, self.limits)
        self.alive = True
        self._queue: queue.SimpleQueue[tuple[SequenceRequest, Sink]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, requests: Sequence[SequenceRequest], sinks: Sequence[Sink]) -> list[Uncancelled]:
        for each in zip(requests, sinks, strict=True):
            self._queue.put(each)
        return [Uncancelled() for _ in requests]

    def load(self) -> Load:
        return Load(running=0, queued=self._queue.qsize())

    def close(self) -> None:
        """Nothing: the thread ends with the process."""

    def _run(self) -> None:
        with torch.inference_mode():
            while True:
                self._generate(*self._queue.get())

    def _generate(self, request: SequenceRequest, sink: Sink) -> None:
        tokens = torch.tensor([request.prompt])
        wanted = request.sampling.max_new_tokens
        self._model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=wanted,
            min_new_tokens=wanted if request.sampling.ignore_eos else None,
            streamer=Streamer(self.tokenizer, request, sink),
        )


def _info(options: LoadOptions, limits: EngineLimits) -> RuntimeInfo:
    return RuntimeInfo(
        model_id=options.model_id,
        model=options.model,
        revision=options.revision,
        architecture="one generate at a time",
        seq2seq=False,
        device="cpu",
        dtype="float32",
        engine="generate",
        max_length=limits.max_length,
        chat_format="template",
        memory_usage=MemoryUsage(total_parameters=0, trainable_parameters=0, estimated_size_mb=0),
        load_seconds=0.0,
        versions={},
    )


async def _serve(settings: ServeSettings) -> None:
    await ServingProcess(settings, listen(settings.host, settings.port), load=OneAtATime).run()


if __name__ == "__main__":
    asyncio.run(_serve(ServeSettings.from_command_line(sys.argv[1:], {})))
