"""Which comment of a models.yaml goes where."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmodel_api.models_yaml import load_models_yaml
from hfmodel_cli.migration.comments import Comments, Remarks, read_comments
from hfmodel_cli.migration.documents import manifest_text

WHOLE = """\
# Our models.

# Ask before adding one.
models:
  # --- small ones ---

  # the smallest
  gpt2:  # for tests
    # of the Hub
    name: gpt2  # since 2019
    size: 124M
    # measured
    max_length: 1024
    # end of gpt2
  # --- large ones ---
  opt:
    description: |
      Says # things
      # like this

    # after a block
    name: "facebook/opt-125m # no comment"
  flow: {name: gpt2, size: '#1'}  # in one line
  # the last word
settings:
  # not kept
  max_concurrent_models: 2  # nor this
"""


def test_comments_stay_with_what_they_speak_of() -> None:
    assert read_comments(WHOLE) == Comments(
        head=("# Our models.", "# Ask before adding one."),
        models={
            "gpt2": Remarks(
                above=("# --- small ones ---", "# the smallest"),
                beside="# for tests",
                below=("# end of gpt2",),
                fields={
                    "name": Remarks(above=("# of the Hub",), beside="# since 2019"),
                    "size": Remarks(),
                    "max_length": Remarks(above=("# measured",)),
                },
            ),
            "opt": Remarks(
                above=("# --- large ones ---",),
                fields={"description": Remarks(), "name": Remarks(above=("# after a block",))},
            ),
            "flow": Remarks(beside="# in one line"),
        },
    )


def test_a_manifest_has_them_in_their_places(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(WHOLE)
    model = load_models_yaml(path).models[0]
    assert manifest_text(model, read_comments(WHOLE).models["gpt2"]) == (
        "# --- small ones ---\n"
        "# the smallest\n"
        "# for tests\n"
        "apiVersion: hfmodel.dev/v1alpha1\n"
        "kind: HFModel\n"
        "metadata:\n"
        "  name: gpt2\n"
        "spec:\n"
        "  # of the Hub\n"
        "  model: gpt2  # since 2019\n"
        "  size: 124M\n"
        "  # measured\n"
        "  maxLength: 1024\n"
        "  # end of gpt2\n"
    )


def test_a_gated_model_says_where_to_ask_for_access(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("models: {gemma: {name: google/gemma-2b, gated: true}}")
    text = manifest_text(load_models_yaml(path).models[0], Remarks())
    assert "  # Ask for access at https://huggingface.co/google/gemma-2b, then give a token" in text
    assert yaml.safe_load(text)["spec"]["gated"] is True


@pytest.mark.parametrize(
    ("text", "above"),
    [
        ("models: {a: {name: x}}  # one line\n", None),
        ("settings: {}\n# between\nmodels:\n  # of a\n  a: {name: x}\n", ("# of a",)),
        ("x: &x {name: x}\nmodels:\n  a: *x\n  # of b\n  b: *x\n", ()),
        ("models:\n  a:\n    name:\n      x\n", ()),
        ("models:\n# at the margin\n  a: {name: x}\n", ("# at the margin",)),
        ("---\n# head\n---\n# second\nmodels:\n  # of a\n  a: {name: x}\n...\n", ("# of a",)),
        ("models:\r\n  # of a\r\n  a: {name: x}\r\n", ("# of a",)),
    ],
    ids=["flow style", "settings first", "aliases", "a value on its own line", "margin", "documents", "Windows"],
)
def test_other_ways_to_write_it(text: str, above: tuple[str, ...] | None) -> None:
    models = read_comments(text).models
    assert (models["a"].above if above is not None else models) == (above if above is not None else {})


_WORDS = st.text(st.sampled_from("ab: #'\"-|"), max_size=12)
_COMMENT = st.just("") | _WORDS.map(lambda text: f"# {text}")


@settings(deadline=None)
@given(description=_WORDS, above=_COMMENT, beside=_COMMENT, end=st.sampled_from(["", "\n", "\n\nmore"]))
def test_comments_never_change_what_a_manifest_says(
    description: str, above: str, beside: str, end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    value = json.dumps(description + end)
    text = f"models:\n  {above}\n  a:\n    {above}\n    name: gpt2\n    description: {value} {beside}\n    {above}\n"
    path = tmp_path_factory.getbasetemp() / "models.yaml"
    path.write_text(text)
    model = load_models_yaml(path).models[0]
    written = manifest_text(model, read_comments(text).models["a"])
    assert yaml.safe_load(written) == model.manifest()
    comments = [line.strip() for line in written.splitlines() if line.strip().startswith("#")]
    assert comments.count(above.strip()) >= (3 if above else 0)
