"""The figures of a case: each is gathered from playbooks, drawn, told in words, and has its numbers behind it."""

from pipeline.investigate.figures import (
    coverage,
    graph,
    looks,
    networks,
    parameters,
    part,
    prompts,
    repeats,
    signals,
    timeline,
)
from pipeline.investigate.figures.base import Figure, Sources
from pipeline.investigate.figures.coverage import coverage_figure
from pipeline.investigate.figures.graph import graph_figure
from pipeline.investigate.figures.looks import looks_figure
from pipeline.investigate.figures.networks import networks_figure
from pipeline.investigate.figures.parameters import parameters_figure
from pipeline.investigate.figures.part import part_figure
from pipeline.investigate.figures.prompts import prompts_figure
from pipeline.investigate.figures.repeats import repeats_figure
from pipeline.investigate.figures.signals import signals_figure
from pipeline.investigate.figures.timeline import timeline_figure

FIGURES = {
    "timeline": timeline_figure,
    "signals": signals_figure,
    "looks": looks_figure,
    "coverage": coverage_figure,
    "prompts": prompts_figure,
    "part": part_figure,
    "repeats": repeats_figure,
    "parameters": parameters_figure,
    "networks": networks_figure,
    "graph": graph_figure,
}
"""How each is made of a case's sources, in the order of a case file; what has nothing to show says so."""

PAINTERS = {
    module.__name__.rpartition(".")[2]: module.paint
    for module in (timeline, signals, looks, coverage, prompts, part, repeats, parameters, networks, graph)
}
"""What draws each from its data alone."""

__all__ = ["FIGURES", "PAINTERS", "Figure", "Sources"]
