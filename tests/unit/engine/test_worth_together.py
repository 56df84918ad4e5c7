"""Which waiting prompts are computed in one pass."""

import pytest
import torch

from hfmodel_runtime.engine.causal import CausalBatch


class _Model(torch.nn.Module):
    """As much of a model as a batch looks at when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self._embeddings = torch.nn.Embedding(1, 1)

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self._embeddings


@pytest.mark.parametrize(
    ("columns", "count"),
    [
        pytest.param([7], 1, id="alone"),
        pytest.param([5000], 1, id="longer-than-a-chunk"),
        pytest.param([10] * 10, 10, id="all-fit-exactly"),
        pytest.param([10] * 11, 10, id="as-many-as-fit"),
        pytest.param([60, 60], 1, id="two-that-do-not-fit"),
        pytest.param([30, 10], 2, id="some-padding"),
        pytest.param([30, 1, 1], 2, id="too-much-padding"),
        pytest.param([1, 30], 2, id="padding-of-the-first"),
        pytest.param([1, 1, 30], 2, id="a-long-one-behind-short-ones"),
    ],
)
def test_rows_fill_a_chunk_with_at_most_as_much_padding_as_prompt(columns: list[int], count: int) -> None:
    assert CausalBatch(_Model(), chunk=100).worth_together(columns) == count
