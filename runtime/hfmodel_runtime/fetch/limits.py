"""The limit of a cache and what must stay in it, from options or from variables of the environment."""

import argparse
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hfmodel_api.sizes import parse_bytes
from hfmodel_runtime.fetch.keep import KeepList, Kept, check_keeper, parse_kept

_LIMIT, _KEEPER, _KEEP = "HFMODEL_CACHE_LIMIT", "HFMODEL_CACHE_KEEPER", "HFMODEL_CACHE_KEEP"
_AS_OF = "HFMODEL_CACHE_KEEP_AS_OF"
_LAST = 1e10  # seconds; the year 2286
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit; nobody said what must stay."""

    cache_limit: int | None  # bytes
    keep: KeepList | None


def limits_from(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Limits:
    """Options win over variables; an empty variable is none.

    Raises:
        ValueError: with the name of the option or variable that is wrong.
    """
    limit, keeper = _given(arguments.cache_limit, _LIMIT, environment), _given(arguments.keeper, _KEEPER, environment)
    names = arguments.keep if arguments.keep is not None else environment.get(_KEEP, "").split()
    as_of = _given(arguments.keep_as_of, _AS_OF, environment)
    if names and not keeper:
        raise ValueError(f"--keep ({_KEEP}) needs --keeper ({_KEEPER}): a name for whoever says it")
    size = None if limit is None else _named(f"--cache-limit ({_LIMIT})", parse_bytes, limit)
    if keeper is None:
        return Limits(size, None)
    return Limits(
        size,
        KeepList(
            keeper=_named(f"--keeper ({_KEEPER})", check_keeper, keeper),
            as_of=time.time() if as_of is None else _named(f"--keep-as-of ({_AS_OF})", _seconds, as_of),
            kept=_kept(names, root=arguments.cache_dir.absolute()),
        ),
    )


def _kept(names: Iterable[str], *, root: Path) -> frozenset[Kept]:
    found = (_named(f"--keep ({_KEEP})", lambda text: parse_kept(text, root=root), name) for name in names)
    return frozenset(kept for kept in found if kept is not None)


def _given(option: str | None, variable: str, environment: Mapping[str, str]) -> str | None:
    return option or environment.get(variable, "").strip() or None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or not 0 <= seconds < _LAST:
        raise ValueError(f"{text!r} is not a time: write it in seconds since 1970")
    return seconds


def _named(name: str, parse: Callable[[str], _T], text: str) -> _T:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
