"""The report of a run: one HTML file that opens from disk, built from results and figures."""

from selene_lib.report.build import build_report
from selene_lib.report.compare import build_comparison

__all__ = ["build_comparison", "build_report"]
