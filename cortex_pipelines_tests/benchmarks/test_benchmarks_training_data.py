from pathlib import Path

import polars as pl

from benchmarks.training_data import BASE, CONTROL, Arm, table, with_fewer_tests, without_answers


def test_rows_that_show_a_held_out_answer_and_tests_beyond_the_share_leave_an_arm() -> None:
    arm = Arm.parse("less=data/old,tests=0.25,rank=4")
    assert (arm.name, arm.folder, arm.settings) == ("less", Path("data/old"), {"tests": 0.25, "rank": 4})
    answer = "return [one.first, one.second, one.third, one.fourth, one.fifth]"
    paths = ["a.py", "b.py", "c.py", *(f"tests/test_{number}.py" for number in range(5))]
    prompts = [f"def f():\n    {answer}\n", *(f"def g{number}(): pass\n" for number in range(7))]
    rows = pl.DataFrame({"path": paths, "prompt": prompts, "completion": "x", "example_id": paths})
    assert without_answers(rows, [answer], 0.7)["path"].to_list() == paths[1:]
    assert without_answers(rows, [f"{answer}; {answer.replace('one', 'two')}"], 0.7).height == rows.height
    assert without_answers(rows, [f"{answer}; {answer.replace('one', 'two')}"], 0.3)["path"].to_list() == paths[1:]
    fewer = with_fewer_tests(rows, 0.25)["path"]
    assert (fewer.len(), fewer.str.contains("tests/").sum()) == (4, 1)


def test_the_table_compares_with_the_base_and_the_first_arm() -> None:
    sums = {"product_bits": 100.0, "product_items": 10, "tests_bits": 50.0, "elsewhere_bits": 30.0, "first_lines": 1}
    row = sums | {"elsewhere_tokens": 10, "questions": 4, "base_right": 1, "challenger_right": 1, "fixes": 2}
    rows = [
        {**row, "project": project, "arm": arm, "fixes_right": 0, "product_bits": bits, "seed": 1}
        for project, after in (("a", 90.0), ("b", 88.0))
        for arm, bits in (
            (BASE, 100.0),
            ("before", 95.0),
            ("after", 90.0 if project == "a" else 88.0),
            (CONTROL, 100.0),
        )
    ]
    lines = list(table(rows))
    assert lines[0] == "bits of product code saved, % | before | 5.0 (5.0 to 5.0)"
    assert lines[1] == "bits of product code saved, % | after | 11.0 (-1.7 to 23.7) | 6.0 (-6.7 to 18.7)"
    assert lines[2].startswith("bits of product code saved, % | control | 0.0")
