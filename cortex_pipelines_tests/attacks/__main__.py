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
    parser.add_argument(
        "--state", type=Path, default=ROOT / ".cortex" / "attack", help="folder for the results"
    )
    parser.add_argument("--tests", type=Path, default=Path(__file__).parent, help="the stages")
    chosen = parser.parse_args(arguments)
    stages = stages_in(chosen.tests, chosen.state)
    unknown = set(chosen.names) - {stage.name for stage in stages}
    if unknown:
        there = ", ".join(stage.name for stage in stages)
        parser.error(f"no stage {', '.join(sorted(unknown))}; there are: {there}")
    stages = [stage for stage in stages if not chosen.names or stage.name in chosen.names]
    if not stages:
        parser.error(f"{chosen.tests}: no stages; give a folder with files of attacks to --tests")
    code = code_version(ROOT)
    done = {} if chosen.again else {s.name: kept for s in stages if (kept := s.done(code))}
    for stage in stages:
        print(_plan(stage, stage.name in done))
    left = sum(stage.estimate() or 0 for stage in stages if stage.name not in done)
    print(f"about {left:.0f} minutes in all")
    if chosen.plan:
        return 0
    results = [(stage.name, done.get(stage.name) or _run(stage, code)) for stage in stages]
    table = markdown(results)
    (chosen.state / "attack.md").write_text(table, encoding="utf-8")
    print(f"\n{table}\nwritten to {chosen.state / 'attack.md'}")
    return 0 if all(result.status == 0 for _, result in results) else 1


def _plan(stage: Stage, done: bool) -> str:
    minutes = stage.estimate()
    lasts = "minutes not known" if minutes is None else f"about {minutes:.1f} minutes"
    return f"{stage.name:<14} {'done before' if done else lasts:<20} {stage.about}"


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
