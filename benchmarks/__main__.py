"""``./run bench``: measures, prints a table beside the budgets, writes JSON. Exit status 1 when a budget is missed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import api, northbound, reachability, size
from benchmarks.figures import Report, table

PARTS = ("api", "northbound", "size", "reachability", "lab")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no 5000 ports")
    parser.add_argument(
        "--database", default="", metavar="URL", help="of an empty PostgreSQL database, for the api part"
    )
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    report = Report()
    wanted = options.parts or PARTS
    if "api" in wanted:
        api.run(report, database=options.database, quick=options.quick)
    if "northbound" in wanted:
        northbound.run(report, quick=options.quick)
    if "size" in wanted:
        size.run(report, quick=options.quick)
    if "reachability" in wanted:
        reachability.run(report, quick=options.quick)
    if "lab" in wanted:
        from benchmarks import lab  # needs root

        lab.run(report, quick=options.quick)
    print(table(report.figures))
    if options.json:
        options.json.write_text(report.as_object())
    return int(any(figure.held is False for figure in report.figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
