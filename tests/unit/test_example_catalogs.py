"""The manifests under examples/ are what people copy: all valid, and the old server's registry complete."""

from pathlib import Path

import pytest
import yaml

from hfmodel_api.manifests import load_manifests

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CATALOG = EXAMPLES / "catalog"

# id, repository, type, size, max_length, suggested_temperature, gated: as the old server's models.yaml had them.
REGISTRY = [
    ("dialogpt-small", "microsoft/DialoGPT-small", "conversational", "117M", 1000, 0.7, False),
    ("dialogpt-medium", "microsoft/DialoGPT-medium", "conversational", "345M", 1000, 0.7, False),
    ("gpt2-small", "gpt2", "text", "124M", 1024, 0.8, False),
    ("distilgpt2", "distilgpt2", "text", "82M", 1024, 0.8, False),
    ("gpt2-medium", "gpt2-medium", "text", "345M", 1024, 0.8, False),
    ("codegen-350m", "Salesforce/codegen-350M-mono", "code", "350M", 2048, 0.2, False),
    ("codegen-2b", "Salesforce/codegen-2B-mono", "code", "2B", 2048, 0.2, False),
    ("flan-t5-small", "google/flan-t5-small", "instruction", "80M", 512, 0.3, False),
    ("flan-t5-base", "google/flan-t5-base", "instruction", "250M", 512, 0.3, False),
    ("opt-125m", "facebook/opt-125m", "text", "125M", 2048, 0.8, False),
    ("opt-350m", "facebook/opt-350m", "text", "350M", 2048, 0.8, False),
    ("pythia-160m", "EleutherAI/pythia-160m", "text", "160M", 2048, 0.8, False),
    ("bloom-560m", "bigscience/bloom-560m", "text", "560M", 1024, 0.8, False),
    ("llama-3.2-1b", "meta-llama/Llama-3.2-1B", "text", "1B", 2048, 0.7, True),
    ("llama-3.2-3b", "meta-llama/Llama-3.2-3B", "text", "3B", 2048, 0.7, True),
    ("llama-3.2-1b-instruct", "meta-llama/Llama-3.2-1B-Instruct", "instruction", "1B", 2048, 0.6, True),
    ("gemma-2b", "google/gemma-2b", "text", "2B", 8192, 0.7, True),
]


def test_every_example_is_valid() -> None:
    loaded = load_manifests(EXAMPLES)
    assert loaded.errors == ()
    assert {"smollm2", "gemma-2b"} <= {model.id for model in loaded.models}


@pytest.mark.parametrize("row", REGISTRY, ids=[row[0] for row in REGISTRY])
def test_the_catalogue_has_the_old_servers_model(row: tuple[object, ...]) -> None:
    models = {model.id: model.spec for model in load_manifests(CATALOG).models}
    spec = models[str(row[0])]
    found = (spec.model, spec.type, spec.size, spec.max_length, spec.suggested_temperature, spec.gated)
    assert found == row[1:]


def test_the_kustomization_names_every_manifest_and_nothing_else() -> None:
    listed = yaml.safe_load((CATALOG / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in CATALOG.glob("*.yaml") if path.name != "kustomization.yaml")
    assert len(listed) == len(REGISTRY)
