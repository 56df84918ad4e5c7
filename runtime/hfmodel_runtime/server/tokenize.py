"""`POST /tokenize`: what a prompt or a conversation costs."""

from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hfmodel_api import wire
from hfmodel_api.requests import TokenizeRequest
from hfmodel_runtime.server.body import read_call
from hfmodel_runtime.server.disconnect import while_connected
from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.server.prompts import chat_messages, encode, encode_chat


def routes(model: ServedModel) -> list[Route]:
    return [Route(wire.PATH_TOKENIZE, partial(_tokenize, model), methods=["POST"])]


async def _tokenize(model: ServedModel, request: Request) -> Response:
    model.check()
    call = await read_call(TokenizeRequest, request, model.settings)
    return await while_connected(request.receive, _answer(model, request, call))


async def _answer(model: ServedModel, request: Request, call: TokenizeRequest) -> Response:
    engine = model.admit(request).engine
    if call.messages is not None:
        tokens = await encode_chat(engine.tokenizer, chat_messages(call.messages), param="messages")
    else:
        tokens = await encode(engine.tokenizer, call.text or "")
    return JSONResponse({"tokens": tokens, "count": len(tokens), "max_length": engine.limits.max_length})
