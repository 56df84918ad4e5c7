"""The old server's models by nothing but their manifests: a real `hfmodel up`, a Hub on this machine, tiny weights.

What each answers is compared with transformers' own `generate` on the same weights.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.catalogue_repos import CATALOGUE, GUIDE, Reference, StandIn, own_tokenizer, write_repo
from support.hfmodel_up import RunningUp, hfmodel_up
from support.hub_server import HubRepo, HubServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "catalog"
TOKEN = "hf_catalogue_test"
PROMPT = "the capital of France is"
QUESTION = "what is the capital of France?"
NEW_TOKENS = 12
PATIENCE_SECONDS = 180.0


def _examples() -> dict[str, dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text()) for path in sorted(EXAMPLES.glob("*.yaml"))]
    return {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "HFModel"}


# As the old server's guide adds them to its models.yaml.
_GUIDE = {
    "dialogpt-large": {"name": "microsoft/DialoGPT-large", "type": "conversational", "max_length": 1000},
    "codegen-6b": {"name": "Salesforce/codegen-6B-mono", "type": "code", "max_length": 2048},
    "flan-t5-large": {"name": "google/flan-t5-large", "type": "instruction", "max_length": 512},
    "gpt-neo-1.3b": {"name": "EleutherAI/gpt-neo-1.3B", "type": "text", "max_length": 2048},
    "vicuna-7b": {"name": "lmsys/vicuna-7b-v1.5", "type": "conversational", "max_length": 2048},
}
_SPECS = _examples()


def _goes_on(reference: Reference, text: str) -> str:
    answer = reference.says(reference.tokenizer(text).input_ids, new_tokens=NEW_TOKENS)
    assert answer, "a model that says nothing shows nothing"
    return answer if reference.seq2seq else text + answer


def _replies(reference: Reference, message: str, *, model_type: str) -> str:
    answer = reference.says(_chat_prompt(reference, message, model_type=model_type), new_tokens=NEW_TOKENS)
    if not (reference.tokenizer.chat_template or reference.seq2seq or model_type == "conversational"):
        answer = answer.partition("\nHuman:")[0]
    return answer.strip()


def _chat_prompt(reference: Reference, message: str, *, model_type: str) -> list[int]:
    """The model's own template; where it has none, what docs/chat.md says, written down once more."""
    tokenizer = reference.tokenizer
    if tokenizer.chat_template:
        return reference.chat_prompt([{"role": "user", "content": message}])
    if reference.seq2seq:
        return list(tokenizer(message).input_ids)
    if model_type == "conversational":
        return [*tokenizer(message, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return list(tokenizer(f"Human: {message}\nAssistant:").input_ids)


@dataclass(frozen=True)
class Served:
    """A running server, its Hub, and what transformers would say, by repo id."""

    running: RunningUp
    hub: HubServer
    references: Mapping[str, Reference]

    def post(self, call: str, **body: Any) -> dict[str, Any]:
        response = httpx.post(f"{self.running.url}{call}", json=body, timeout=PATIENCE_SECONDS)
        assert response.status_code == 200, f"{response.text}\n{self.running.output}"
        answer: dict[str, Any] = response.json()
        return answer


def _references(stand_ins: Mapping[str, StandIn], root: Path) -> Iterator[tuple[str, Reference, HubRepo]]:
    for seed, (repo, stand_in) in enumerate(stand_ins.items()):
        directory = root / repo.replace("/", "--")
        model = write_repo(stand_in, seed=seed, directory=directory)
        tokens = frozenset({TOKEN} if stand_in.gated else ())
        files = {path.name: path.read_bytes() for path in directory.iterdir()}
        tokenizer = own_tokenizer(stand_in, directory)
        yield repo, Reference(model, tokenizer), HubRepo(files=files, gated=stand_in.gated, tokens=tokens)


def _serve(catalog: Path, stand_ins: Mapping[str, StandIn], *options: str, work: Path) -> Iterator[Served]:
    made = list(_references(stand_ins, work / "repos"))
    with HubServer({repo: files for repo, _, files in made}, tokens=frozenset({TOKEN})) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(work / "hf"), "API_KEY": ""}
        with hfmodel_up(catalog, *options, work=work, env=environment) as running:
            yield Served(running, hub, {repo: reference for repo, reference, _ in made})


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from _serve(EXAMPLES, CATALOGUE, "--max-loaded", "3", work=tmp_path_factory.mktemp("catalogue"))


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    work = tmp_path_factory.mktemp("guide")
    registry = work / "models.yaml"
    registry.write_text(yaml.safe_dump({"models": _GUIDE, "settings": {"max_concurrent_models": 2}}))
    yield from _serve(registry, GUIDE, work=work)


def _answers_as_transformers(served: Served, model_id: str, *, repo: str, model_type: str) -> None:
    reference = served.references[repo]
    settings = {"do_sample": False, "max_new_tokens": NEW_TOKENS}
    generated = served.post(f"/models/{model_id}/generate", text=PROMPT, **settings)
    assert generated["generated_text"] == [_goes_on(reference, PROMPT)]
    assert (generated["model_id"], generated["model_name"]) == (model_id, repo)
    chat = served.post(f"/models/{model_id}/chat", message=QUESTION, temperature=0, max_new_tokens=NEW_TOKENS)
    assert chat["response"] == _replies(reference, QUESTION, model_type=model_type)
    info = httpx.get(f"{served.running.url}/models/{model_id}/info", timeout=PATIENCE_SECONDS).json()
    assert info["memory_usage"]["total_parameters"] == sum(weight.numel() for weight in reference.model.parameters())


def test_the_catalogue_is_the_old_servers_registry() -> None:
    assert {spec["model"] for spec in _SPECS.values()} == set(CATALOGUE)
    assert len(_SPECS) == len(CATALOGUE) == 17
    assert {spec["model"] for spec in _SPECS.values() if spec.get("gated")} == {
        repo for repo, stand_in in CATALOGUE.items() if stand_in.gated
    }


@pytest.mark.parametrize("model_id", _SPECS)
def test_a_model_of_the_catalogue_answers_as_transformers_does(model_id: str, catalogue: Served) -> None:
    spec = _SPECS[model_id]
    _answers_as_transformers(catalogue, model_id, repo=spec["model"], model_type=spec["type"])


@pytest.mark.parametrize("model_id", _GUIDE)
def test_a_model_of_the_old_guide_answers_as_transformers_does(model_id: str, guide: Served) -> None:
    entry = _GUIDE[model_id]
    _answers_as_transformers(guide, model_id, repo=str(entry["name"]), model_type=str(entry["type"]))


def test_three_models_at_most_are_loaded(catalogue: Served) -> None:
    for model_id in list(_SPECS)[:4]:
        catalogue.post(f"/models/{model_id}/generate", text=PROMPT, max_new_tokens=1)
    loaded = httpx.get(f"{catalogue.running.url}/models/loaded", timeout=PATIENCE_SECONDS).json()["loaded_models"]
    assert 1 <= len(loaded) <= 3


def test_gated_repositories_are_fetched_with_the_token(catalogue: Served) -> None:
    for model_id, spec in _SPECS.items():
        if spec.get("gated"):
            catalogue.post(f"/models/{model_id}/generate", text=PROMPT, max_new_tokens=1)
            asked = [seen for seen in catalogue.hub.gets("config.json") if seen.path.startswith(f"/{spec['model']}/")]
            assert {seen.token for seen in asked} == {TOKEN}
