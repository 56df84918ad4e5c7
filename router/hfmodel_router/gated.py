"""Gated models: whether a Hugging Face token is there for them, and where access is asked for."""

from pydantic import BaseModel

from hfmodel_router.catalogue import Catalogue
from hfmodel_router.fleet import ModelState


class AuthStatus(BaseModel):
    """Whether a Hugging Face token is configured; no part of it is ever shown."""

    has_token: bool
    token_preview: str | None
    gated_models_count: int
    gated_models: list[str]


def auth_status(models: Catalogue) -> AuthStatus:
    gated = [model_id for model_id, state in models.items() if state.model.spec.gated]
    has_token = any(state.has_token for state in models.values())
    return AuthStatus(
        has_token=has_token,
        token_preview="***" if has_token else None,
        gated_models_count=len(gated),
        gated_models=gated,
    )


def access_url(state: ModelState) -> str:
    """The page where access to a gated model is asked for."""
    return f"https://huggingface.co/{state.model.spec.model}"
