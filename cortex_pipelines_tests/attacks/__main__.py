"""``python -m cortex_pipelines_tests.attacks [NAME…]``: run the long attacks stage by stage.

A stage that is done for the code as it stands is not run again; an interrupted one is.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cortex_pipelines_tests.attacks.stages import Result, Stage, code_version, markdown, stages_in

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages, print and write their table; 1 if an attack got through."""
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("names", nargs="*", help="stages; none: all")
    parser.add_argument("--again", action="store_true", help="run also what is done")
    parser.add_argument("--plan", action="store_true", help="say what would run, and stop")
    parser.add_argument("--state", type=Path, default=ROOT / ".cortex" / "attack", help="folder for the results")
    parser.add_argument("--tests", type=Path, default=Path(__file__).parent, help="the stages")
    options = parser.parse_args(arguments)
    stages = stages_in(options.tests, options.state)
    unknown = set(options.names) - {stage.name for stage in stages}
    if unknown:
        names = ", ".join(stage.name for stage in stages)
        parser.error(f"no stage {', '.join(sorted(unknown))}; there are: {names}")
    stages = [stage for stage in stages if not options.names or stage.name in options.names]
    if not stages:
        parser.error(f"{options.tests}: no stages; give a folder with files of attacks to --tests")
    code = code_version(ROOT)
    finished = {} if options.again else _current_results(stages, code)
    for stage in stages:
        print(_plan(stage, stage.name in finished))
    remaining_minutes = sum(stage.estimate() or 0 for stage in stages if stage.name not in finished)
    print(f"about {remaining_minutes:.0f} minutes in all")
    if options.plan:
        return 0
    results = [(stage.name, finished.get(stage.name) or _run(stage, code)) for stage in stages]
    table = markdown(results)
    (options.state / "attack.md").write_text(table, encoding="utf-8")
    print(f"\n{table}\nwritten to {options.state / 'attack.md'}")
    return 0 if all(result.status == 0 for _, result in results) else 1


def _current_results(stages: list[Stage], code: str) -> dict[str, Result]:
    results = ((stage.name, stage.current_result(code)) for stage in stages)
    return {name: result for name, result in results if result}


def _plan(stage: Stage, is_done: bool) -> str:
    minutes = stage.estimate()
    lasts = "minutes not known" if minutes is None else f"about {minutes:.1f} minutes"
    return f"{stage.name:<14} {'done before' if is_done else lasts:<20} {stage.summary}"


def _run(stage: Stage, code: str) -> Result:
    print(f"\n{stage.name}: begun", flush=True)
    result = stage.run(code)
    print(f"{stage.name}: {result.held:,} held, {result.broken:,} broken", flush=True)
    if result.status:
        print("".join(stage.log.read_text(encoding="utf-8").splitlines(keepends=True)[-40:]))
        print(f"all of it: {stage.log}", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
