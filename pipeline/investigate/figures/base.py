"""What every figure has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.investigate.drawing import new_figure, style

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.investigate.asked import Asked
    from pipeline.investigate.looks import Look
    from pipeline.investigate.projection import Plane
    from pipeline.investigate.subjects import Subject


@dataclass(frozen=True, slots=True)
class Sources:
    """What figures are made of: whom the case is about, the answers by playbook, and what Python read from them.

    ``alert`` is the subject's own alert, as `case_alerts` has it, its evidence and provenance parsed; None: there is none.
    ``part`` is what `pipeline.records_to_look_at` says. ``vectors`` int8[n, d] belong to `case_prompts`,
    ``background`` int8[m, d] to `case_benign_prompts`.
    """

    subject: Subject
    answers: Mapping[str, Asked]
    alert: Mapping[str, Any] | None
    part: Mapping[str, Any] | None
    looks: Sequence[Look]
    plane: Plane
    vectors: NDArray[np.int8]
    background: NDArray[np.int8]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Rows of a playbook's answer."""
        return self.answers[name].rows


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Parameters
    ----------
    name
        Short and unique; its anchor in a page.
    title
        What it is about.
    caption
        What is to be seen in it, in sentences.
    how
        How to read it, and what not to read into it.
    data
        JSON-ready: everything that is drawn.
    columns, rows
        The table behind it.
    asked
        The playbooks it comes from.
    paint
        Draws ``data`` on an empty matplotlib figure; None: there is nothing to draw, and ``caption`` says why.
    height
        Inches.
    """

    name: str
    title: str
    caption: str
    how: str
    data: Mapping[str, Any]
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    asked: tuple[Asked, ...]
    paint: Callable[[Any, Mapping[str, Any]], None] | None = field(default=None)
    height: float = 2.6

    def draw(self) -> Any:
        """The chart as a matplotlib figure.

        Raises
        ------
        UsageError
            matplotlib is not installed.
        """
        with style():
            figure = new_figure(self.height)
            if self.paint is not None:
                self.paint(figure, self.data)
            # Laid out now, while the style holds.
            figure.draw_without_rendering()
        return figure

    @property
    def is_drawn(self) -> bool:
        """Whether there is anything to draw."""
        return self.paint is not None


def nothing(name: str, title: str, why: str, *asked: Asked) -> Figure:
    """A figure that has nothing to show, and says why."""
    return Figure(name, title, why, "", {}, (), (), asked)


def share(part: float, whole: float) -> float:
    """A share, 0 of nothing."""
    return round(part / whole, 6) if whole else 0.0
