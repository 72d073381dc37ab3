"""Numbers from arrays: agreement, intervals, tests, calibration. Pure numpy, no global state."""

from selene_lib.evaluation.metrics.bounds import correlation_bounds
from selene_lib.evaluation.metrics.calibration import ReliabilityBin, reliability_bins
from selene_lib.evaluation.metrics.estimates import Estimate, estimate, share_interval
from selene_lib.evaluation.metrics.resampling import (
    SAME,
    Z95,
    Difference,
    Interval,
    benjamini_hochberg,
    bootstrap_ci,
    bootstrap_replicates,
    interval,
    metric_value,
    paired_bootstrap,
    permutation_p,
    share_difference_interval,
    smallest_resolvable_gap,
    wilson_interval,
)

__all__ = [
    "SAME",
    "Z95",
    "Difference",
    "Estimate",
    "Interval",
    "ReliabilityBin",
    "benjamini_hochberg",
    "bootstrap_ci",
    "bootstrap_replicates",
    "correlation_bounds",
    "estimate",
    "interval",
    "metric_value",
    "paired_bootstrap",
    "permutation_p",
    "reliability_bins",
    "share_difference_interval",
    "share_interval",
    "smallest_resolvable_gap",
    "wilson_interval",
]
