"""The old server's REST surface: every call, what it took, and the fields of its answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# A shape is a type, a tuple of types, a list of one shape, a mapping of required fields, or `By`.
Shape = Any
NULL = type(None)
NUMBER = (int, float)


@dataclass(frozen=True, slots=True)
class By:
    """An object whose keys are ids, or the like."""

    shape: Shape


ROW = {
    "name": str,
    "type": str,
    "size": str,
    "description": str,
    "max_length": int,
    "suggested_temperature": NUMBER,
    "gated": bool,
    "loaded": bool,
    "loading": bool,
    "device": (str, NULL),
    "last_used": (str, NULL),
}
AUTH = {"has_token": bool, "token_preview": (str, NULL), "gated_models_count": int, "gated_models": [str]}
MESSAGE = {"message": str}
LOADED = {"message": str, "model_id": str, "force_reload": bool}
GENERATED = {
    "generated_text": [str],
    "model_id": str,
    "model_name": str,
    "input_length": int,
    "output_length": [int],
    "generation_params": {
        "max_length": int,
        "temperature": NUMBER,
        "top_p": NUMBER,
        "top_k": int,
        "do_sample": bool,
        "num_return_sequences": int,
    },
}
CHATTED = {"response": str, "model_id": str, "model_name": str, "context": (str, NULL)}
CONVERSED = {**CHATTED, "context": str}
ERROR = {"detail": str}


@dataclass(frozen=True, slots=True)
class Call:
    """`GET /health` and the like, what is sent, and what comes back."""

    line: str
    body: Any = None
    status: int = 200
    shape: Shape = None

    def __str__(self) -> str:
        return " ".join([self.line, *([str(self.body)] if self.body is not None else ()), str(self.status)])


def _of_model(model_id: str) -> list[Call]:
    path = f"/models/{model_id}"
    return [
        Call(f"POST {path}/load", None, 200, LOADED),
        Call(f"POST {path}/load", {}, 200, LOADED),
        Call(f"POST {path}/load", {"force_reload": False}, 200, LOADED),
        Call(f"POST {path}/load", {"force_reload": True}, 200, LOADED),
        Call(f"POST {path}/unload", None, 200, MESSAGE),
    ]


CALLS = [
    Call("GET /", shape={"message": str, "version": str, "docs": str, "health": str}),
    Call(
        "GET /health",
        shape={
            "status": str,
            "loaded_models": [str],
            "total_models_available": int,
            "system_info": {"cuda_available": bool, "memory_used_percent": NUMBER, "cuda_devices": int},
        },
    ),
    Call(
        "GET /system",
        shape={
            "python_version": str,
            "torch_version": str,
            "cuda_devices": [dict],
            "cpu_count": int,
            "memory_total_gb": NUMBER,
            "memory_available_gb": NUMBER,
            "memory_used_percent": NUMBER,
        },
    ),
    Call("GET /models", shape=By(ROW)),
    Call("GET /models/loaded", shape={"loaded_models": [str]}),
    Call("GET /models/types/text", shape={"model_type": str, "models": By(ROW)}),
    Call("GET /models/types/nonsense", status=404, shape=ERROR),
    Call("GET /models/gated", shape={"gated_models": [str], "auth_status": AUTH, "models_detail": By(ROW)}),
    Call("GET /models/gpt2-small/info", shape={**ROW, "model_id": str}),
    Call("GET /models/llama-3.2-1b/info", shape={**ROW, "model_id": str, "auth_status": AUTH, "access_url": str}),
    *_of_model("gpt2-small"),
    Call("POST /models/gpt2-small/generate", {"text": "hello"}, 200, GENERATED),
    Call("POST /models/codegen-350m/generate", {"text": "def f():"}, 200, GENERATED),
    Call("POST /models/flan-t5-small/generate", {"text": "hello"}, 200, GENERATED),
    Call("POST /models/dialogpt-small/generate", {"text": "hello"}, 200, GENERATED),
    Call("POST /models/dialogpt-small/chat", {"message": "hello", "max_length": 60}, 200, CONVERSED),
    Call("POST /models/dialogpt-small/chat", {"message": "hello", "context": None}, 200, CONVERSED),
    Call("POST /models/gpt2-small/chat", {"message": "hello", "temperature": 0.5}, 200, CHATTED),
    Call("POST /models/flan-t5-small/chat", {"message": "hello"}, 200, CHATTED),
    Call("POST /generate", {"text": "hello"}, 200, GENERATED),
    Call("POST /chat", {"message": "hello", "max_length": 60}, 200, CONVERSED),
    Call("GET /auth/status", shape=AUTH),
    Call("POST /admin/reload-config", shape=MESSAGE),
    Call("POST /admin/clear-gpu-memory", shape=MESSAGE),
    Call("POST /admin/unload-all", shape={"message": str, "unloaded_models": [str]}),
    *(
        Call(f"{line.replace('ID', 'nobody')}", body, 404, ERROR)
        for line, body in (
            ("GET /models/ID/info", None),
            ("POST /models/ID/load", None),
            ("POST /models/ID/unload", None),
            ("POST /models/ID/generate", {"text": "hello"}),
            ("POST /models/ID/chat", {"message": "hello"}),
        )
    ),
]

# Fields of /generate at the bounds that the old server set them.
BOUNDS: list[Mapping[str, Any]] = [
    {"max_length": 4096},
    {"temperature": 0.1},
    {"temperature": 2.0},
    {"temperature": 1},
    {"top_p": 0.1},
    {"top_p": 1.0},
    {"top_k": 1},
    {"top_k": 100},
    {"do_sample": False},
    {"num_return_sequences": 5},
]


def misfits(value: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """Where `value` is not of this shape. More fields than required are fine."""
    match shape:
        case By(inner):
            yield from misfits(value, dict, path)
            yield from (each for key in value for each in misfits(value[key], inner, f"{path}.{key}"))
        case [inner]:
            yield from misfits(value, list, path)
            yield from (each for item in value for each in misfits(item, inner, f"{path}[]"))
        case dict():
            yield from (f"{path}.{key} is missing" for key in shape if key not in value)
            yield from (
                each for key in shape if key in value for each in misfits(value[key], shape[key], f"{path}.{key}")
            )
        case _:
            # True is no number in JSON.
            if not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool):
                yield f"{path or 'the answer'} is {value!r}"
