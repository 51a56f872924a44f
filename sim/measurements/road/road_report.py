"""Write measurements as report.json and report.html."""

from __future__ import annotations

import json
from pathlib import Path

from moesaic.files import write_file
from moesaic.sim.measurements.road.figures import Measurements, figures
from moesaic.sim.measurements.road.road_page import report_page


def write_report(measurements: Measurements, directory: Path) -> dict:
    """Write report.json and report.html into the directory, each whole or not at all, and return the figures.

    Raises UserError if they cannot be written.
    """
    report = figures(measurements)
    page = report_page(measurements, report)
    write_file(directory / "report.html", page.encode())
    write_file(directory / "report.json", (json.dumps(report, indent=1) + "\n").encode())
    return report
