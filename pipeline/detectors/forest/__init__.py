"""Boosted shallow trees on ranks: the default detector of scoring runs."""

from __future__ import annotations

from pipeline.detectors.forest.detector import ForestDetector
from pipeline.detectors.forest.model import Forest, shipped_forest
from pipeline.detectors.forest.trees import Trees

__all__ = ["Forest", "ForestDetector", "Trees", "shipped_forest"]
