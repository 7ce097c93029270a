"""What the worker takes from `pipeline`: lake, engine, decoder, and how they are put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.clock import Clock
    from pipeline.engine import Engine
    from pipeline.lake import Lake
    from pipeline.landing import LandingSettings
    from pipeline.records.decode import RecordDecoder
    from streams.scoring import LiveScorer
    from streams.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class Domain:
    """The parts of one worker that know about records."""

    lake: Lake
    engine: Engine
    decoder: RecordDecoder
    landing: LandingSettings
    scorer: LiveScorer | None = None


def open_domain(settings: WorkerSettings, clock: Clock) -> Domain:
    """Open or create the lake, and what fits it.

    Raises
    ------
    UsageError, LakeError
        The lake or the key cannot be used as asked.
    """
    from pipeline.backend import get_backend
    from pipeline.engine import Engine
    from pipeline.lake import Lake
    from pipeline.landing import LandingSettings
    from pipeline.live import live_scorer
    from pipeline.parameters import Parameters
    from pipeline.records.decode import RecordDecoder
    from pipeline.records.pseudonyms import Pseudonyms

    pseudonyms = Pseudonyms.from_file(settings.pseudonym_key) if settings.pseudonym_key is not None else None
    fingerprint = pseudonyms.fingerprint if pseudonyms is not None else None
    lake = Lake.open_or_create(
        settings.lake, parameters=Parameters.default(), pseudonym_fingerprint=fingerprint, clock=clock
    )
    engine = Engine(lake.parameters, get_backend(settings.backend), lake.config.window_seconds)
    return Domain(
        lake=lake,
        engine=engine,
        scorer=live_scorer(lake, engine) if settings.live_scoring else None,
        decoder=RecordDecoder(
            lake.config.space,
            pseudonyms=pseudonyms,
            max_message_bytes=settings.max_message_bytes,
            max_future_seconds=settings.max_future_seconds,
            adapter=settings.adapter,
        ),
        landing=LandingSettings(
            segment_records=settings.segment_records,
            segment_bytes=settings.segment_bytes,
            segment_seconds=settings.segment_seconds,
            roll_up_records=settings.roll_up_records,
            roll_up_seconds=settings.roll_up_seconds,
            max_future_seconds=settings.max_future_seconds,
            accept_recreated_topic=settings.accept_recreated_topic,
        ),
    )
