"""Every figure of the paper's plan, from result files alone: no model, no run object.

One function a figure takes tables and returns a `Drawing` (it shows itself in a notebook);
`draw_all` draws a whole run.
"""

from selene_lib.figures.audit import draw_audit
from selene_lib.figures.benchmarks import draw_benchmarks, draw_overall
from selene_lib.figures.checks import draw_calibration, draw_contamination
from selene_lib.figures.domains import draw_arena, draw_domains, draw_formats
from selene_lib.figures.drawing import Drawing, not_run
from selene_lib.figures.everything import draw_all, draw_published, published_drawings
from selene_lib.figures.example import draw_example
from selene_lib.figures.flow import draw_flow
from selene_lib.figures.published import (
    draw_published_benchmarks,
    draw_published_domains,
    draw_published_overall,
)
from selene_lib.figures.topic_map import draw_topic_map
from selene_lib.figures.training import (
    draw_ablation,
    draw_rewards,
    draw_telemetry,
    draw_threshold,
    draw_training_curves,
)
from selene_lib.figures.yes_no import draw_yes_no

__all__ = [
    "Drawing",
    "draw_ablation",
    "draw_all",
    "draw_arena",
    "draw_audit",
    "draw_benchmarks",
    "draw_calibration",
    "draw_contamination",
    "draw_domains",
    "draw_example",
    "draw_flow",
    "draw_formats",
    "draw_overall",
    "draw_published",
    "draw_published_benchmarks",
    "draw_published_domains",
    "draw_published_overall",
    "draw_rewards",
    "draw_telemetry",
    "draw_threshold",
    "draw_topic_map",
    "draw_training_curves",
    "draw_yes_no",
    "not_run",
    "published_drawings",
]
