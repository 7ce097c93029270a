"""The options by which commands name a lake, and what a new one is made with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

LAKE = click.Path(file_okay=False, path_type=Path)


def lake_option(function: F) -> F:
    """Add `--lake`."""
    return click.option("--lake", "lake_path", type=LAKE, required=True, help="Folder of the lake.")(function)


def say_if_inexact(lake: Path | str, manifest: int | None) -> None:
    """Warn where a lake cannot be seen exactly as of a manifest; None: it is seen as it is now."""
    from pipeline.lake import Lake

    if manifest is not None and (said := Lake.open(lake).manifest(manifest).inexact) is not None:
        click.echo(f"warning: {said}", err=True)


def backend_option(function: F) -> F:
    """Add `--backend`."""
    return click.option(
        "--backend",
        type=click.Choice(["auto", "numpy", "cupy"]),
        default="auto",
        show_default=True,
        help="Where matrix products run; results are the same bit for bit.",
    )(function)


def new_lake_options(function: F) -> F:
    """Add what fixes a new lake: embedding space, parameters, window length, pseudonyms."""
    for option in (
        click.option("--embedding-model", help="Embedding model of a new lake; default all-MiniLM-L6-v2."),
        click.option("--dimension", type=click.IntRange(8, 4096), help="Its dimension; default 384."),
        click.option(
            "--parameters",
            "parameters_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Fitted kernel parameters (.npz) of a new lake; default: the shipped or generated ones.",
        ),
        click.option(
            "--window-seconds",
            type=click.IntRange(60, 86_400),
            help="Window length of a new lake; default 3600.",
        ),
        click.option(
            "--pseudonym-key",
            "pseudonym_key",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Key file: account, organisation, payment and network are replaced by keyed pseudonyms.",
        ),
    ):
        function = option(function)
    return function
