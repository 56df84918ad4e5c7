"""Which waiting prompts are computed in one pass."""

import pytest
import torch

from hfmodel_runtime.engine.batch import RowTokens
from hfmodel_runtime.engine.causal import CausalBatch


class _Model(torch.nn.Module):
    """As much of a model as a batch looks at when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self._embeddings = torch.nn.Embedding(1, 1)

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self._embeddings


@pytest.mark.parametrize(
    ("lengths", "count"),
    [
        pytest.param([7], 1, id="alone"),
        pytest.param([5000], 1, id="longer-than-a-chunk"),
        pytest.param([10] * 10, 10, id="all-fit-exactly"),
        pytest.param([10] * 11, 10, id="as-many-as-fit"),
        pytest.param([60, 60], 1, id="two-that-do-not-fit"),
        pytest.param([30, 10], 2, id="some-padding"),
        pytest.param([49, 1], 1, id="padding-that-costs-more-than-a-pass"),
        pytest.param([1, 30], 1, id="padding-of-the-first"),
        pytest.param([10, 12, 14, 40], 3, id="a-long-one-behind-short-ones"),
    ],
)
def test_rows_fill_a_chunk_while_padding_costs_less_than_passes(lengths: list[int], count: int) -> None:
    rows = [RowTokens([1] * length) for length in lengths]
    assert CausalBatch(_Model(), chunk=100).worth_together(rows) == count
