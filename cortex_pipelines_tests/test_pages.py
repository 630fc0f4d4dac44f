import base64
import inspect
import subprocess
import sys
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from cortex_pipelines import pages
from cortex_pipelines.catalog import ASSETS
from cortex_pipelines.versioning.dagster.metadata import bar_table, line_chart

HOSTILE = "<b>&\"'"
ESCAPED = "&lt;b&gt;&amp;&#34;&#39;"


def rendered() -> str:
    chart = line_chart({"loss": [(1, 2.5), (2, 1 / 3)]})
    return pages.page("t", [pages.table(["a", "b"], [["x", 1]], [0.5]), pages.figure("lines", chart)])


def picture(address: str) -> str:
    return base64.b64decode(address.removeprefix("data:image/svg+xml;base64,")).decode()


@pytest.mark.parametrize(
    "part",
    [
        pages.heading,
        pages.paragraph,
        lambda text: pages.table([text], [[text]]),
        lambda text: pages.records([{text: text}]),
        lambda text: pages.confusion({(text, text): 1}, [text]),
        lambda text: pages.listing([text]),
        lambda text: pages.code(text, text),
        lambda text: pages.changed_code(text, f"a {text}", f"b {text}"),
        lambda text: pages.side_by_side([text]),
        lambda text: pages.collapsible(text, [text]),
        lambda text: pages.figure(text, text),
    ],
)
def test_every_part_escapes_text(part: Callable[[str], str]) -> None:
    page = pages.page(HOSTILE, [part(HOSTILE), HOSTILE])
    assert HOSTILE not in page
    assert page.count(ESCAPED) >= 4


def test_columns_of_numbers_are_aligned_and_others_are_not() -> None:
    rows = [["1st", 1200, "-0.5 (−1 to 2)", ""], ["2 b", 3, "1e-05", "85 %"]]
    text = pages.table(["name", "count", "figure", "share"], rows)
    assert '<tr><th>name</th><th class="n">count</th>' in text
    assert '<td>1st</td><td class="n">1,200</td><td class="n">-0.5 (−1 to 2)</td>' in text
    assert (pages.table(["version"], [["3f2a"]]).count("class"), pages.table(["", "a"], [])) == (0, "<p>None.</p>")


def test_changes_charts_and_bars_are_written_as_text() -> None:
    text = pages.changed_code("t", "return a < b", "return a < c")
    assert "<pre>return a &lt; <del>c</del><ins>b</ins></pre>" in text
    chart = ElementTree.fromstring(picture(line_chart({"$x_1$ <b>": [(1, 2)]})))
    assert "$x_1$ <b>" in [element.text for element in chart.iter() if element.tag.endswith("text")]
    lines = bar_table("kind", {"a|b": 1200, "c": 1}).splitlines()
    assert (lines[2], lines[3]) == ("| a\\|b | 1,200 | ████████████████████ |", "| c | 1 | █ |")


def test_a_page_is_the_same_in_every_process() -> None:
    page = rendered()
    env = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": "utf-8"}
    imports = f"from cortex_pipelines import pages\nfrom {line_chart.__module__} import line_chart\n"
    command = [sys.executable, "-c", f"{imports}{inspect.getsource(rendered)}print(rendered(), end='')"]
    assert subprocess.run(command, env=env, capture_output=True, check=True).stdout.decode() == page
    assert "http" not in page
    assert "<script" not in page


def test_outputs_that_are_exact_everywhere_hold_no_chart() -> None:
    charted = {asset.determinism for asset in ASSETS if "cortex_pipelines/charts.py" in asset.code}
    assert charted == {"machine"}
