"""What a conversion will write, known before its weights are here: so that no download is made that has no room."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from huggingface_hub.errors import HfHubHTTPError

from hfmodel_runtime.fetch.cache import PARTIAL
from hfmodel_runtime.fetch.download import Opener
from hfmodel_runtime.fetch.gguf_header import gguf_elements
from hfmodel_runtime.fetch.selection import Selection, WeightFormat, total_bytes
from hfmodel_runtime.fetch.sizes import FLOAT32_BYTES
from hfmodel_runtime.fetch.tally import Tally

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20


def converted_bytes(selection: Selection, directory: Path, *, opener: Opener, tally: Tally) -> int:
    """Bytes that the conversion of `selection` writes beside what is downloaded into `directory`.

    0 for safetensors, and where nobody can say: the conversion asks for its room again, once the weights are here.
    """
    match selection.format:
        case WeightFormat.SAFETENSORS:
            return 0
        case WeightFormat.PICKLE:
            # The same tensors in another container.
            return total_bytes(selection.weights) or 0
        case WeightFormat.GGUF:
            return _gguf_bytes(selection.weights[0].path, directory, opener=opener, tally=tally)


def _gguf_bytes(name: str, directory: Path, *, opener: Opener, tally: Tally) -> int:
    for begin in (_here(directory / name), _here(directory / f"{name}{PARTIAL}"), _there(name, opener, tally)):
        try:
            with begin as chunks:
                return gguf_elements(chunks) * FLOAT32_BYTES
        except FileNotFoundError:
            continue
        except (ValueError, HfHubHTTPError, httpx2.HTTPError) as error:
            # A part may be too short. All others say what they have to when the file is fetched or converted.
            logger.info("size after conversion not known yet file=%s error=%s", name, error)
    return 0


@contextmanager
def _here(path: Path) -> Iterator[Iterable[bytes]]:
    with path.open("rb") as file:
        yield iter(lambda: file.read(_CHUNK), b"")


@contextmanager
def _there(name: str, opener: Opener, tally: Tally) -> Iterator[Iterable[bytes]]:
    """The connection is given up as soon as the header is read."""

    def counted(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            tally.received(len(chunk))
            yield chunk

    with opener(name, offset=0) as (_, chunks):
        yield counted(chunks)
