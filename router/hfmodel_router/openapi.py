"""The OpenAPI document of the whole surface.

Calls that pods answer bypass the web framework, so their part of the document is made here, from the request models
that the pods validate with.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from hfmodel_api.names import HEADER_HOLD_TIMEOUT
from hfmodel_router.calls import KINDS, CallKind

_REF = "#/components/schemas/{model}"
_ERRORS = {
    "400": "The body is not valid; `param` names the field",
    "401": "An API key is required",
    "404": "There is no such model",
    "413": "The body is too large",
    "429": "Too many requests wait; Retry-After says when to come back",
    "500": "The model broke while it worked on this request",
    "503": "The model cannot start; `reason` says why",
    "504": "The model was not ready in time; Retry-After says when to come back",
}
_HOLD_HEADER = {
    "name": HEADER_HOLD_TIMEOUT,
    "in": "header",
    "required": False,
    "schema": {"type": "number", "minimum": 0},
    "description": "seconds to wait for a model that is not loaded",
}


def document_everything(app: FastAPI, *, with_keys: bool) -> None:
    """Make `app.openapi()` include what pods answer; `with_keys` where calls need an API key."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, with_keys=with_keys)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend its document


def _document(app: FastAPI, *, with_keys: bool) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = document.setdefault("components", {})
    _, definitions = models_json_schema([(kind.body, "validation") for kind in KINDS], ref_template=_REF)
    components.setdefault("schemas", {}).update(definitions.get("$defs", {}))
    # First what people come for.
    document["paths"] = {kind.route: {"post": _operation(kind)} for kind in KINDS} | document["paths"]
    if with_keys:
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"key": []}]
    return document


def _operation(kind: CallKind) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=kind.body.__name__)}
    parameters: list[dict[str, Any]] = [_HOLD_HEADER]
    if "{model_id}" in kind.route:
        path = {"name": "model_id", "in": "path", "required": True, "schema": {"type": "string"}}
        parameters.insert(0, path)
    return {
        "tags": ["OpenAI" if kind.route.startswith("/v1/") else "generate and chat"],
        "summary": kind.summary,
        "operationId": kind.route.strip("/").replace("/", "_").replace("{", "").replace("}", ""),
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "The answer; with `stream: true` server-sent events",
                "content": {"application/json": {"schema": {}}, "text/event-stream": {"schema": {"type": "string"}}},
            },
            **{status: {"description": text} for status, text in _ERRORS.items()},
        },
    }
