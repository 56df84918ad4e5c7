"""`POST /chat`: the old server's call, one turn of a conversation."""

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hfmodel_api import wire
from hfmodel_api.requests import ChatRequest
from hfmodel_api.spec import ModelType
from hfmodel_runtime.engine.protocol import ChatMessage
from hfmodel_runtime.server import sse
from hfmodel_runtime.server.body import read_call
from hfmodel_runtime.server.disconnect import while_connected
from hfmodel_runtime.server.generation import Answer, Generation, start
from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.server.prompts import encode_chat
from hfmodel_runtime.server.sampling import Room, chat_tokens, native_sampling
from hfmodel_runtime.server.streams import stream
from hfmodel_runtime.server.transcript import read_transcript, write_transcript


def routes(model: ServedModel) -> list[Route]:
    return [Route(wire.PATH_CHAT, partial(_chat, model), methods=["POST"])]


async def _chat(model: ServedModel, request: Request) -> Response:
    model.check()
    call = await read_call(ChatRequest, request, model.settings)
    return await while_connected(request.receive, _answer(model, request, call))


async def _answer(model: ServedModel, request: Request, call: ChatRequest) -> Response:
    turns = _turns(call)
    admitted = model.admit(request)
    tokenizer = admitted.engine.tokenizer
    prompt = await encode_chat(tokenizer, turns, param="message")
    room = Room.beside(len(prompt), engine=admitted.engine, param="message")
    sampling = native_sampling(
        call,
        tokens=chat_tokens(call, room),
        temperature=model.settings.suggested_temperature,
        stop=tokenizer.chat_stop,
    )
    generation = start(model, admitted, request, prompts=[prompt], sampling=[sampling], n=1)
    reply = partial(_reply, model, turns)
    if call.stream:
        return await stream(_events(generation, reply), model, request)
    return JSONResponse(reply((await generation.finished())[0]))


def _turns(call: ChatRequest) -> list[ChatMessage]:
    turns = read_transcript(call.context)
    if call.system is not None:
        # A system text given now replaces the one that the conversation began with.
        turns = [ChatMessage("system", call.system), *(turn for turn in turns if turn.role != "system")]
    return [*turns, ChatMessage("user", call.message)]


def _reply(model: ServedModel, turns: list[ChatMessage], answer: Answer) -> dict[str, Any]:
    response = answer.text.strip()
    conversational = model.settings.type == ModelType.CONVERSATIONAL
    return {
        "response": response,
        "model_id": model.settings.model_id,
        "model_name": model.settings.model,
        "context": write_transcript([*turns, ChatMessage("assistant", response)]) if conversational else None,
    }


async def _events(generation: Generation, reply: Callable[[Answer], dict[str, Any]]) -> AsyncGenerator[bytes]:
    async for news in generation.news(patience=sse.PING_SECONDS):
        if news is None:
            yield sse.PING
        elif news[1].text:
            yield sse.event({"text": news[1].text})
    yield sse.event(reply(generation.answers[0]))
    yield sse.DONE
