"""``distillwatch digest``: one digest of all profiles, however they were landed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.lake_options import backend_option, lake_option
from pipeline.cli.output import Format, format_option, print_mappings

if TYPE_CHECKING:
    from pathlib import Path


@click.command("digest")
@lake_option
@backend_option
@format_option
def command(lake_path: Path, backend: str, format_: Format) -> None:
    """Print the digest of every profile of the lake, and that of the light fields alone.

    Equal records give equal digests: live or from files, in any batches and order, before and after a replay. The light
    digest is BLAKE2b-256 over one line for each account and window, `account_id TAB window_start in microseconds TAB the
    eleven counters`, in order of (account_id as UTF-8 bytes, window_start): anybody can recompute it.
    """
    from pipeline.assembly import engine_for, open_lake
    from pipeline.cli.progress import reporter
    from pipeline.clock import SystemClock
    from pipeline.lake.reader import iter_profiles
    from pipeline.profiles import Digester

    lake = open_lake(lake_path, clock=SystemClock())
    engine = engine_for(lake, backend)
    snapshot = lake.snapshot()
    digester = Digester()
    profiles = records = 0
    with reporter("digest") as advance:
        for block in iter_profiles(snapshot, engine):
            digester.update(block)
            profiles += len(block)
            records += int(block.records.sum())
            advance(profiles, 0, "profiles")
    print_mappings(
        [
            {
                "profiles": profiles,
                "records": records,
                "digest": digester.hexdigest(),
                "light_digest": digester.light_hexdigest(),
            }
        ],
        format_,
    )
