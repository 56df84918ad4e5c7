"""The text of what an import writes: manifests with their comments, a kustomization, Helm values."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from hfmodel_api.models_yaml import FIELDS
from hfmodel_api.spec import HFModel
from hfmodel_cli.migration.comments import Remarks

KUSTOMIZATION = "kustomization.yaml"
_WIDTH = 118
_OLD_NAMES = {new: old for old, new in FIELDS.items()}


class _Dumper(yaml.SafeDumper):
    """Lists indented, texts of several lines as blocks: as people write manifests."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def represent_text(self, text: str) -> yaml.Node:
        # Blank lines at an end of a block are easily lost.
        as_block = "\n" in text.strip() and text == text.lstrip() and not text.endswith("\n\n")
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if as_block else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def file_name(model_id: str) -> str:
    """Where the manifest of a model lies; no two models have the same."""
    name = f"{model_id}.yaml"
    # An underscore is in no id.
    return name if name != KUSTOMIZATION else f"{model_id}_.yaml"


def manifest_text(model: HFModel, remarks: Remarks) -> str:
    """The manifest of `model`, with the comments of its place in the models.yaml."""
    manifest = model.manifest()
    spec = manifest.pop("spec")
    head = [*remarks.above, *([remarks.beside] if remarks.beside else ()), to_yaml(manifest), "spec:"]
    lines: list[str] = []
    for name, value in spec.items():
        remark = remarks.fields.get(_OLD_NAMES.get(name, ""), Remarks())
        if name == "gated":
            remark = Remarks((*remark.above, *_access(model)), remark.beside)
        lines += _field(name, value, remark)
    lines += remarks.below
    return "\n".join([*head, *(f"  {line}" if line else "" for line in lines)]) + "\n"


def kustomization_text(names: Iterable[str], head: Iterable[str]) -> str:
    document = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(names)}
    return "\n".join([*head, to_yaml(document)]) + "\n"


def values_text(values: Mapping[str, Any], *, secrets: Iterable[str]) -> str:
    """Helm values; `secrets` are the commands that make the Secrets they name."""
    head = ["# Values for the chart hfmodel, from the old server's settings."]
    commands = [f"#   {command}" for command in secrets]
    if commands:
        head += ["# Create these first, in the release's namespace:", *commands]
    return "\n".join([*head, to_yaml(values)]) + "\n"


def to_yaml(document: Any) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text.rstrip("\n")


def _field(name: str, value: Any, remark: Remarks) -> list[str]:
    lines = to_yaml({name: value}).split("\n")
    if remark.beside and len(lines) == 1:
        return [*remark.above, f"{lines[0]}  {remark.beside}"]
    return [*remark.above, *([remark.beside] if remark.beside else ()), *lines]


def _access(model: HFModel) -> tuple[str, ...]:
    if model.spec.source.path is not None:
        return ()
    return (
        f"# Ask for access at https://huggingface.co/{model.spec.model}, then give a token: HF_TOKEN for `hfmodel up`,",
        "# huggingface.existingSecret of the chart (or spec.tokenSecretRef) in a cluster.",
    )
