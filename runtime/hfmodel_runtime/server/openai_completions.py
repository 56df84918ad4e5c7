"""`POST /v1/completions`."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hfmodel_api import wire
from hfmodel_api.errors import InvalidRequest
from hfmodel_api.requests import CompletionRequest
from hfmodel_runtime.engine.protocol import Engine, Sampling, SequenceEvent, Tokenizer
from hfmodel_runtime.server import sse
from hfmodel_runtime.server.body import read_call
from hfmodel_runtime.server.disconnect import while_connected
from hfmodel_runtime.server.generation import Answer, Generation, start
from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.server.openai_common import Envelope, completion_logprobs, usage
from hfmodel_runtime.server.prompts import encode
from hfmodel_runtime.server.sampling import Room, openai_sampling, openai_tokens
from hfmodel_runtime.server.streams import stream


@dataclass(frozen=True, slots=True)
class _Prompt:
    tokens: Sequence[int]
    text: str  # what `echo` puts before an answer; empty without echo


def routes(model: ServedModel) -> list[Route]:
    return [Route(wire.PATH_V1_COMPLETIONS, partial(_completions, model), methods=["POST"])]


async def _completions(model: ServedModel, request: Request) -> Response:
    model.check()
    call = await read_call(CompletionRequest, request, model.settings)
    model.answers_to(call.model)
    if call.echo and call.logprobs is not None:
        raise InvalidRequest("echo together with logprobs is not supported by this server", param="echo")
    return await while_connected(request.receive, _answer(model, request, call))


async def _answer(model: ServedModel, request: Request, call: CompletionRequest) -> Response:
    admitted = model.admit(request)
    prompts = [await _prompt(admitted.engine.tokenizer, each, echo=call.echo) for each in _each_prompt(call)]
    sampling = [_sampling(model, admitted.engine, call, prompt) for prompt in prompts]
    generation = start(
        model, admitted, request, prompts=[prompt.tokens for prompt in prompts], sampling=sampling, n=call.n
    )
    prompt_tokens = sum(len(prompt.tokens) for prompt in prompts)
    completion = _Completion(call, prompts, Envelope("cmpl", "text_completion", model.settings.model_id))
    if call.stream:
        return await stream(completion.events(generation, prompt_tokens=prompt_tokens), model, request)
    return JSONResponse(completion.whole(await generation.finished(), prompt_tokens=prompt_tokens))


def _each_prompt(call: CompletionRequest) -> Sequence[str | Sequence[int]]:
    match call.prompt:
        case str(text):
            return [text]
        case [int(), *_] as tokens:
            return [tokens]  # type: ignore[list-item]  # a list that begins with a number holds only numbers
        case several:
            return several  # type: ignore[return-value]


async def _prompt(tokenizer: Tokenizer, given: str | Sequence[int], *, echo: bool) -> _Prompt:
    if isinstance(given, str):
        return _Prompt(await encode(tokenizer, given), given if echo else "")
    return _Prompt(given, await asyncio.to_thread(tokenizer.decode, given) if echo else "")


def _sampling(model: ServedModel, engine: Engine, call: CompletionRequest, prompt: _Prompt) -> Sampling:
    room = Room.beside(len(prompt.tokens), engine=engine, param="prompt")
    return openai_sampling(call, tokens=openai_tokens(call, room), temperature=model.settings.suggested_temperature)


class _Completion:
    """One answer, whole or in chunks. Choices are numbered prompt by prompt."""

    def __init__(self, call: CompletionRequest, prompts: Sequence[_Prompt], envelope: Envelope) -> None:
        self._call = call
        self._echoes = [prompt.text for prompt in prompts for _ in range(call.n)]
        self._envelope = envelope
        self._include_usage = call.stream_options is not None and call.stream_options.include_usage
        # Characters and tokens already sent of each choice.
        self._sent = [0] * len(self._echoes)

    def whole(self, answers: Sequence[Answer], *, prompt_tokens: int) -> dict[str, Any]:
        choices = [
            {
                "index": index,
                "text": self._echoes[index] + answer.text,
                "logprobs": None if self._call.logprobs is None else completion_logprobs(answer.logprobs, offset=0),
                "finish_reason": answer.finish_reason,
            }
            for index, answer in enumerate(answers)
        ]
        return self._envelope.around(choices, usage=usage(prompt_tokens, answers))

    async def events(self, generation: Generation, *, prompt_tokens: int) -> AsyncGenerator[bytes]:
        async for news in generation.news(patience=sse.PING_SECONDS):
            if news is None:
                yield sse.PING
            elif (chunk := self._chunk(*news)) is not None:
                yield chunk
        if self._include_usage:
            yield sse.event(self._envelope.around([], usage=usage(prompt_tokens, generation.answers)))
        yield sse.DONE

    def _chunk(self, index: int, event: SequenceEvent) -> bytes | None:
        text = self._echoes[index] + event.text
        self._echoes[index] = ""
        wants_logprobs = self._call.logprobs is not None and bool(event.logprobs)
        if not (text or wants_logprobs or event.finish_reason):
            return None
        logprobs = completion_logprobs(event.logprobs, offset=self._sent[index]) if wants_logprobs else None
        self._sent[index] += sum(len(each.token) for each in event.logprobs)
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": event.finish_reason}
        more = {"usage": None} if self._include_usage else {}
        return sse.event(self._envelope.around([choice], **more))
