"""`POST /v1/chat/completions`."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hfmodel_api import wire
from hfmodel_api.requests import ChatCompletionRequest
from hfmodel_runtime.engine.protocol import SequenceEvent
from hfmodel_runtime.server import sse
from hfmodel_runtime.server.body import read_call
from hfmodel_runtime.server.disconnect import while_connected
from hfmodel_runtime.server.generation import Answer, Generation, start
from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.server.openai_common import Envelope, chat_logprobs, usage
from hfmodel_runtime.server.prompts import chat_messages, encode_chat
from hfmodel_runtime.server.sampling import Room, openai_sampling, openai_tokens
from hfmodel_runtime.server.streams import stream


def routes(model: ServedModel) -> list[Route]:
    return [Route(wire.PATH_V1_CHAT, partial(_chat_completions, model), methods=["POST"])]


async def _chat_completions(model: ServedModel, request: Request) -> Response:
    model.check()
    call = await read_call(ChatCompletionRequest, request, model.settings)
    model.answers_to(call.model)
    return await while_connected(request.receive, _answer(model, request, call))


async def _answer(model: ServedModel, request: Request, call: ChatCompletionRequest) -> Response:
    admitted = model.admit(request)
    tokenizer = admitted.engine.tokenizer
    prompt = await encode_chat(tokenizer, chat_messages(call.messages), param="messages")
    room = Room.beside(len(prompt), engine=admitted.engine, param="messages")
    sampling = openai_sampling(
        call,
        tokens=openai_tokens(call, room),
        temperature=model.settings.suggested_temperature,
        stop=tokenizer.chat_stop,
    )
    generation = start(model, admitted, request, prompts=[prompt], sampling=[sampling], n=call.n)
    if call.stream:
        chunks = _Chunks(call, Envelope("chatcmpl", "chat.completion.chunk", model.settings.model_id))
        return await stream(chunks.events(generation, prompt_tokens=len(prompt)), model, request)
    answers = await generation.finished()
    envelope = Envelope("chatcmpl", "chat.completion", model.settings.model_id)
    choices = [_choice(call, index, answer) for index, answer in enumerate(answers)]
    return JSONResponse(envelope.around(choices, usage=usage(len(prompt), answers)))


def _choice(call: ChatCompletionRequest, index: int, answer: Answer) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": answer.text, "refusal": None},
        "logprobs": chat_logprobs(answer.logprobs) if call.logprobs else None,
        "finish_reason": answer.finish_reason,
    }


class _Chunks:
    """The chunks of one streamed answer."""

    def __init__(self, call: ChatCompletionRequest, envelope: Envelope) -> None:
        self._call = call
        self._envelope = envelope
        self._include_usage = call.stream_options is not None and call.stream_options.include_usage

    async def events(self, generation: Generation, *, prompt_tokens: int) -> AsyncGenerator[bytes]:
        begun = False
        async for news in generation.news(patience=sse.PING_SECONDS):
            if news is None:
                yield sse.PING
                continue
            if not begun:
                begun = True
                for index in range(self._call.n):
                    yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
            for chunk in self._chunks(*news):
                yield chunk
        if self._include_usage:
            yield sse.event(self._envelope.around([], usage=usage(prompt_tokens, generation.answers)))
        yield sse.DONE

    def _chunks(self, index: int, event: SequenceEvent) -> list[bytes]:
        chunks = []
        if event.text or (self._call.logprobs and event.logprobs):
            logprobs = chat_logprobs(event.logprobs) if self._call.logprobs else None
            chunks.append(self._chunk(index, {"content": event.text}, logprobs=logprobs))
        if event.finish_reason is not None:
            chunks.append(self._chunk(index, {}, finish_reason=event.finish_reason))
        return chunks

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        logprobs: dict[str, Any] | None = None,
        finish_reason: str | None = None,
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        more = {"usage": None} if self._include_usage else {}
        return sse.event(self._envelope.around([choice], **more))
