"""How commands put lake, parameters, engine and decoder together, so that every path is put together alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.lake import Lake
from pipeline.spaces import DEFAULT_DIMENSION, DEFAULT_MODEL, EmbeddingSpace

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.clock import Clock
    from pipeline.engine import Engine
    from pipeline.parameters import Parameters
    from pipeline.records.pseudonyms import Pseudonyms

LAKE_FILE = "lake.json"


def parameters_for(space: EmbeddingSpace | None = None, parameters_file: Path | None = None) -> Parameters:
    """What a new lake computes profiles with: a file's, the shipped ones, or generated ones for another space.

    Raises
    ------
    SpaceMismatch
        The file's parameters are for another space than the one asked for.
    """
    from pipeline.errors import SpaceMismatch
    from pipeline.parameters import Parameters

    if parameters_file is not None:
        loaded = Parameters.load(parameters_file)
        if space is not None and loaded.space != space:
            msg = f"{parameters_file} holds parameters for {loaded.space}, not for {space}"
            raise SpaceMismatch(msg)
        return loaded
    if space is None or space == EmbeddingSpace(DEFAULT_MODEL, DEFAULT_DIMENSION):
        return Parameters.default()
    return Parameters.generate(space)


def open_lake(path: Path, *, clock: Clock) -> Lake:
    """A lake that must be there.

    Raises
    ------
    UsageError
        There is none at this path.
    """
    if not (path / LAKE_FILE).is_file():
        msg = f"{path} is no lake (it has no {LAKE_FILE}); `distillwatch ingest --lake {path} FILE…` or a worker makes one"
        raise UsageError(msg)
    return Lake.open(path, clock=clock)


def open_or_create_lake(
    path: Path,
    *,
    clock: Clock,
    space: EmbeddingSpace | None = None,
    parameters_file: Path | None = None,
    window_seconds: int | None = None,
    pseudonyms: Pseudonyms | None = None,
) -> Lake:
    """A lake that is there, checked against what was asked for; or a new one.

    What is not asked for is taken from the lake that is there.

    Raises
    ------
    LakeError
        The lake at this path is configured otherwise.
    """
    fingerprint = None if pseudonyms is None else pseudonyms.fingerprint
    if (path / LAKE_FILE).is_file():
        lake = Lake.open(path, clock=clock)
        if space is None and parameters_file is None:
            wanted = lake.parameters
        else:
            wanted = parameters_for(space, parameters_file)
        return Lake.open_or_create(
            path,
            parameters=wanted,
            window_seconds=window_seconds or lake.config.window_seconds,
            pseudonym_fingerprint=fingerprint,
            clock=clock,
        )
    return Lake.open_or_create(
        path,
        parameters=parameters_for(space, parameters_file),
        window_seconds=window_seconds or 3600,
        pseudonym_fingerprint=fingerprint,
        clock=clock,
    )


def engine_for(lake: Lake, backend: str = "auto") -> Engine:
    """The engine that computes this lake's profiles."""
    from pipeline.backend import get_backend
    from pipeline.engine import Engine

    return Engine(lake.parameters, get_backend(backend), lake.config.window_seconds)
