"""``distillwatch ingest``: log files into a lake, without Kafka."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from pipeline.cli.lake_options import backend_option, lake_option, new_lake_options
from pipeline.cli.output import Format, format_option, print_mappings


@click.command("ingest")
@lake_option
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--batch-rows",
    type=click.IntRange(1),
    default=8192,
    show_default=True,
    help="Rows decoded at a time; never changes a result.",
)
@click.option(
    "--adapter",
    type=click.Choice(["auto", "native", "otel", "litellm"]),
    default="auto",
    show_default=True,
    help="Format of JSON lines: the contract, OpenTelemetry GenAI, LiteLLM.",
)
@click.option(
    "--max-future-seconds",
    type=click.FloatRange(0),
    help="Reject event times that lie further ahead of now than this; default: no bound for files.",
)
@click.option("--segment-records", type=click.IntRange(1), default=65_536, show_default=True)
@new_lake_options
@backend_option
@format_option
def command(
    lake_path: Path,
    files: tuple[Path, ...],
    batch_rows: int,
    adapter: str,
    max_future_seconds: float | None,
    segment_records: int,
    embedding_model: str | None,
    dimension: int | None,
    parameters_file: Path | None,
    window_seconds: int | None,
    pseudonym_key: Path | None,
    backend: str,
    format_: Format,
) -> None:
    """Land JSONL (.gz, .bz2, .zst) or Parquet FILES.

    The same file again adds nothing; an interrupted one goes on where it stopped. Rows that cannot be accepted are
    kept as dead letters with file, row and reason.
    """
    from pipeline.assembly import engine_for, open_or_create_lake
    from pipeline.cli.progress import reporter
    from pipeline.clock import SystemClock
    from pipeline.ingest import ingest_file
    from pipeline.landing import LandingSettings
    from pipeline.records.decode import RecordDecoder
    from pipeline.records.pseudonyms import Pseudonyms
    from pipeline.spaces import DEFAULT_DIMENSION, DEFAULT_MODEL, EmbeddingSpace

    clock = SystemClock()
    pseudonyms = Pseudonyms.from_file(pseudonym_key) if pseudonym_key else None
    asked = embedding_model is not None or dimension is not None
    space = (
        EmbeddingSpace(embedding_model or DEFAULT_MODEL, dimension or DEFAULT_DIMENSION) if asked else None
    )
    lake = open_or_create_lake(
        lake_path,
        clock=clock,
        space=space,
        parameters_file=parameters_file,
        window_seconds=window_seconds,
        pseudonyms=pseudonyms,
    )
    decoder = RecordDecoder(
        lake.config.space,
        pseudonyms=pseudonyms,
        adapter=adapter,  # type: ignore[arg-type]
        max_future_seconds=max_future_seconds or 0.0,
    )
    settings = LandingSettings(
        segment_records=segment_records,
        segment_seconds=float("inf"),
        roll_up_seconds=float("inf"),
        max_future_seconds=None if max_future_seconds is None else int(max_future_seconds),
    )
    engine = engine_for(lake, backend)
    done, reasons, unknown = [], Counter[str](), Counter[str]()
    for path in files:
        with reporter(f"ingest {path.name}") as advance:
            result = ingest_file(
                lake,
                engine,
                decoder,
                path,
                clock=clock,
                settings=settings,
                batch_rows=batch_rows,
                bound_by_now=max_future_seconds is not None,
                progress=advance,
            )
        done.append(result)
        reasons.update(result.reasons)
        unknown.update(result.unknown_fields)
        if result.already_landed and not result.rows:
            click.echo(f"{path}: already landed, {result.already_landed:,} rows; nothing added", err=True)
        elif result.already_landed:
            click.echo(f"{path}: went on at row {result.already_landed:,}", err=True)
        if result.changed_from:
            click.echo(
                f"warning: {path}: a file of this name landed before with other content ({result.changed_from}); "
                "this one is a new source, and rows that both hold are counted twice",
                err=True,
            )
    print_mappings(
        [
            {
                "file": str(r.path),
                "rows": r.rows,
                "records": r.records,
                "rejected": r.rejected,
                "segments": r.segments,
                "already_landed": r.already_landed,
            }
            for r in done
        ],
        format_,
    )
    if reasons:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        click.echo(
            f"rejected: {counts}; see them with: distillwatch sql --lake {lake_path} dead_letters_by_reason",
            err=True,
        )
    if unknown:
        names = ", ".join(f"{name} {count:,}" for name, count in unknown.most_common(12))
        click.echo(f"warning: fields that are not part of a record were left out: {names}", err=True)
