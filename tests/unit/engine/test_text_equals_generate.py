"""Every architecture, with the tokenizer class of its repositories: from text to text as transformers alone does it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hfmodel_runtime.engine.loader import load_engine
from hfmodel_runtime.engine.protocol import ChatMessage, Engine, LoadOptions, Sampling
from hfmodel_runtime.engine.selftest import VERIFIED
from support.catalogue_repos import CATALOGUE, GUIDE, OTHERS, Reference, own_tokenizer, write_repo
from support.engine_calls import generate

_EVERY = (*CATALOGUE.items(), *GUIDE.items(), *OTHERS.items())
# The first of those that differ neither in architecture nor in tokenizer class, nor in having a template.
_REPOS = {
    (stand_in.architecture, stand_in.tokenizer, stand_in.chat_template is not None): (repo, stand_in)
    for repo, stand_in in reversed(_EVERY)
}.values()
_WITH_TEMPLATE = [(repo, stand_in) for repo, stand_in in _REPOS if stand_in.chat_template is not None]
# Two at a time, so that rows join and leave beside others.
_TEXTS = {
    "the capital of France is": 24,
    "Grüße aus Köln, 東京 and 🙂👍🏽": 7,
    "def f(x):\n    return x  # naïve  café": 31,
    " The fox.\n": 16,
}
_TURNS = (("user", "what is the capital of France?"), ("assistant", "Paris, 東京 🙂"), ("user", " and\nof Köln? "))


@dataclass(frozen=True)
class _Model:
    engine: Engine
    reference: Reference


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Model]:
    repo, stand_in = request.param
    directory: Path = tmp_path_factory.mktemp("repos") / "model"
    computes = write_repo(stand_in, seed=len(repo), directory=directory)
    engine = load_engine(
        LoadOptions(path=str(directory), model_id="tiny", threads=1, allow_pickle=stand_in.pickled, max_running=2)
    )
    yield _Model(engine, Reference(computes, own_tokenizer(stand_in, directory)))
    engine.close()


_every_repo = pytest.mark.parametrize("model", _REPOS, indirect=True, ids=[repo for repo, _ in _REPOS])
_every_template = pytest.mark.parametrize(
    "model", _WITH_TEMPLATE, indirect=True, ids=[repo for repo, _ in _WITH_TEMPLATE]
)


@_every_repo
def test_text_goes_in_and_comes_out_as_with_transformers(model: _Model) -> None:
    prompts = [model.engine.tokenizer.encode(text) for text in _TEXTS]
    samplings = [Sampling(max_new_tokens=new, temperature=0) for new in _TEXTS.values()]
    answers = generate(model.engine, prompts, samplings)
    for (text, new_tokens), prompt, answer in zip(_TEXTS.items(), prompts, answers, strict=True):
        assert prompt == model.reference.tokenizer(text).input_ids, text
        assert answer.text == model.reference.says(prompt, new_tokens=new_tokens)
    assert all(answer.text for answer in answers), "models that say nothing show nothing"


@_every_template
def test_a_chat_is_what_the_models_own_template_makes_of_it(model: _Model) -> None:
    expected = model.reference.chat_prompt([{"role": role, "content": content} for role, content in _TURNS])
    prompt = model.engine.tokenizer.encode_chat([ChatMessage(role, content) for role, content in _TURNS])
    assert prompt == expected
    [answer] = generate(model.engine, [prompt], [Sampling(max_new_tokens=20, temperature=0)])
    assert answer.text == model.reference.says(expected, new_tokens=20)


def test_every_verified_architecture_has_a_repository_here() -> None:
    assert {stand_in.architecture.partition("-")[0] for _, stand_in in _REPOS} >= VERIFIED
