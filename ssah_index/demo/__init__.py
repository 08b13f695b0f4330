"""The demo's own parts: its data, its score and its picture."""

from ssah_index.demo.icons import render_icons
from ssah_index.demo.picture import draw_answers
from ssah_index.demo.score import Score, score

__all__ = ["Score", "draw_answers", "render_icons", "score"]
