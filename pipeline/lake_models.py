"""Fitted models of an operator's own, kept in the lake beside the alerts that they raised.

``models/<fingerprint>.npz`` is a forest that `distillwatch refit` made and `score --model` used: what an alert was judged
by must be there when it is derived again, after the file it came from is gone.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pipeline.detectors import DETECTORS, get_detector
from pipeline.detectors.forest import Forest, ForestDetector
from pipeline.errors import LakeError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.detectors.base import Detector
    from pipeline.lake.store import Store

MODELS = "models"
"""Folder of the lake."""


def use_model(store: Store, path: Path) -> ForestDetector:
    """A detector that judges by a fitted forest; the file is kept in the lake.

    Raises
    ------
    UsageError
        The file is not a forest.
    """
    forest = Forest.load(path)
    key = f"{MODELS}/{forest.fingerprint}.npz"
    if not store.exists(key):
        store.put_bytes(path.read_bytes(), key)
    return ForestDetector(forest)


def detector_of(store: Store, name: str, fingerprint: str) -> Detector:
    """The detector that something was judged by: this version's, or one kept in the lake.

    Another version's shipped detector is not kept; then this version's is returned, and its fingerprint differs.

    Raises
    ------
    LakeError
        What is kept under the fingerprint is something else.
    """
    # Clusters are judged beside the accounts of their lake: what judged these is what is asked for.
    names = [name] if name in DETECTORS else list(DETECTORS)
    for each in names:
        detector = get_detector(each)
        if detector.fingerprint == fingerprint:
            return detector
    detector = get_detector(names[0])
    if detector.name != ForestDetector.name:
        return detector
    data = store.read_bytes(f"{MODELS}/{fingerprint}.npz")
    if data is None:
        return detector
    place = store.path(f"{MODELS}/{fingerprint}.npz")
    try:
        forest = Forest.load(io.BytesIO(data))
    except UsageError as error:
        msg = f"{place} is not a fitted forest: it was changed; restore it from a copy of the lake"
        raise LakeError(msg) from error
    if forest.fingerprint != fingerprint:
        msg = f"{place} now has the fingerprint {forest.fingerprint}: it was changed; restore it from a copy of the lake"
        raise LakeError(msg)
    return ForestDetector(forest)
