"""`POST /generate`: the old server's call, prompt and answer in one text."""

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hfmodel_api import wire
from hfmodel_api.requests import GenerateRequest
from hfmodel_runtime.engine.protocol import Sampling
from hfmodel_runtime.server import sse
from hfmodel_runtime.server.body import read_call
from hfmodel_runtime.server.disconnect import while_connected
from hfmodel_runtime.server.generation import Answer, Generation, start
from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.server.prompts import encode
from hfmodel_runtime.server.sampling import Room, generate_tokens, native_sampling
from hfmodel_runtime.server.streams import stream


def routes(model: ServedModel) -> list[Route]:
    return [Route(wire.PATH_GENERATE, partial(_generate, model), methods=["POST"])]


async def _generate(model: ServedModel, request: Request) -> Response:
    model.check()
    call = await read_call(GenerateRequest, request, model.settings)
    return await while_connected(request.receive, _answer(model, request, call))


async def _answer(model: ServedModel, request: Request, call: GenerateRequest) -> Response:
    admitted = model.admit(request)
    prompt = await encode(admitted.engine.tokenizer, call.text)
    room = Room.beside(len(prompt), engine=admitted.engine, param="text")
    sampling = native_sampling(
        call, tokens=generate_tokens(call, room), temperature=model.settings.suggested_temperature
    )
    n = call.num_return_sequences
    generation = start(model, admitted, request, prompts=[prompt], sampling=[sampling], n=n)
    reply = partial(_reply, model, call, room, sampling)
    if call.stream:
        return await stream(_events(generation, reply), model, request)
    return JSONResponse(reply(await generation.finished()))


def _reply(
    model: ServedModel, call: GenerateRequest, room: Room, sampling: Sampling, answers: list[Answer]
) -> dict[str, Any]:
    # A seq2seq model answers a text, a causal one goes on with it: there the prompt is part of what was generated.
    prompt = "" if room.seq2seq else call.text
    return {
        "generated_text": [prompt + answer.text for answer in answers],
        "model_id": model.settings.model_id,
        "model_name": model.settings.model,
        "input_length": room.prompt,
        "output_length": [room.total(answer.tokens) for answer in answers],
        "generation_params": {
            "max_length": room.total(sampling.max_new_tokens),
            "max_new_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "do_sample": not sampling.greedy,
            "num_return_sequences": call.num_return_sequences,
            "repetition_penalty": sampling.repetition_penalty,
            "seed": sampling.seed,
        },
    }


async def _events(generation: Generation, reply: Callable[[list[Answer]], dict[str, Any]]) -> AsyncGenerator[bytes]:
    async for news in generation.news(patience=sse.PING_SECONDS):
        if news is None:
            yield sse.PING
        elif news[1].text:
            yield sse.event({"text": news[1].text, "index": news[0]})
    yield sse.event(reply(generation.answers))
    yield sse.DONE
