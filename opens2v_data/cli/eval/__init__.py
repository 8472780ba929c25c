"""`opens2v eval`: the benchmark OpenS2V-Eval, a command for each step of it."""

from __future__ import annotations

import argparse
import textwrap

from opens2v_data.cli.eval import agree, compare, leaderboard, prompts, score, show
from opens2v_data.cli.eval import run as run_

NAME = "eval"
HELP = "run the benchmark OpenS2V-Eval: score a model's videos, make its table, compare models (extra: eval)"
DETAILS = " Each step has a help of its own: `opens2v eval STEP --help`."
EXAMPLE = "opens2v eval score scores/ --domain open"
STEPS = (prompts, run_, score, leaderboard, compare, agree, show)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the steps."""
    steps = parser.add_subparsers(
        title="steps", dest="step", metavar="STEP", required=True, help="a step of the benchmark"
    )
    for module in STEPS:
        step = steps.add_parser(
            module.NAME,
            help=module.HELP,
            description=textwrap.fill(f"{module.HELP[0].upper()}{module.HELP[1:]}.{module.DETAILS}", 100),
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(step)
        step.set_defaults(run_step=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Run a step."""
    return arguments.run_step(arguments)
