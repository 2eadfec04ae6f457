"""Options of the benchmarks, and quiet progress: they print one line for each case themselves."""

import pytest
from plan import SUITES


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--suite", choices=SUITES, default="full", help="which benchmarks to run")


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    return ("passed", "", "PASSED") if report.when == "call" and report.passed else None
