"""Own names go, outside names stay, and the code is otherwise what it was."""

import ast
import re
import sysconfig
from itertools import islice
from pathlib import Path

import pytest

from cortex_pipelines.augmentation.anonymize import anonymize_identifiers
from cortex_pipelines.extraction.grammars import UnknownLanguageError

CASES = {
    "python": (
        "import os\nfrom json import dumps as encode\n\nLIMIT = 3\n\n\nclass Basket:\n"
        "    def __init__(self, owner, size=2):\n        self.owner = owner\n"
        "        self._apples = []\n\n    def put(self, apple):\n"
        "        self._apples.append(apple)\n        return self.total() + LIMIT\n\n"
        "    def total(self):\n        return len(self._apples)\n\n\n"
        "class Place(os.PathLike):\n    def __fspath__(self):\n        return self.spot()\n\n"
        "    def spot(self):\n        return os.path.join('owner', 'spot')\n\n\n"
        "def make(owner):\n    basket = Basket(owner, size=3)\n"
        "    for index, item in enumerate([1, 2]):\n        basket.put(item)\n"
        '    return encode({"owner": f"{basket.owner} {index}"})\n',
        "LIMIT Basket put apple total make basket index item Place owner _apples",
        "os encode dumps append enumerate len size PathLike __init__ spot self join",
    ),
    "javascript": (
        "import {readFile} from 'fs';\nclass Shop { #stock = 1;\n"
        "  sell(count) { return this.#stock - count; } }\n"
        "class Page extends React.Component { render() { return this.props.title; } }\n"
        "export function open(shopName) { const shop = new Shop(); const {a, b} = readFile();\n"
        "  return shop.sell(a + b).toString(); }\n",
        "Shop #stock sell count open shop shopName Page",
        "readFile a b toString render props React Component",
    ),
    "typescript": (
        "interface Fruit { colour: string; peel(): void }\n"
        "const paint = (fruit: Fruit, shade = 'red'): string => fruit.colour + shade.trim();\n",
        "Fruit colour peel paint fruit shade",
        "string trim",
    ),
    "java": (
        "package a.b;\nimport java.util.List;\nclass Shop { private int stock;\n"
        "  Shop(int amount) { this.stock = amount; }\n"
        "  int sell(List<String> buyers) { for (String buyer : buyers) {\n"
        "    stock -= buyer.length(); } return stock; } }\n"
        "class Job implements Runnable { public void run() { } }\n",
        "Shop stock amount sell buyers buyer Job",
        "List String length Runnable run",
    ),
    "go": (
        'package shop\n\nimport "fmt"\n\ntype Shop struct{ stock int; Title string }\n\n'
        "func (s *Shop) Sell(count int) int { s.stock -= count; left := s.stock;\n"
        "fmt.Println(left); return left }\n\n"
        "func Open(title string) *Shop { return &Shop{Title: title} }\n\nfunc main() {}\n",
        "Shop stock Title Sell count left Open title s",
        "fmt Println int string main",
    ),
    "rust": (
        "use std::fmt::Display;\nstruct Shop { stock: i32 }\nimpl Shop {\n"
        "    fn new(stock: i32) -> Self { Shop { stock } }\n"
        "    fn sell(&mut self, count: i32) -> i32 { let rest = self.stock - count; rest.abs() }\n"
        "}\nimpl Display for Shop { fn fmt(&self, out: &mut std::fmt::Formatter) ->\n"
        '    std::fmt::Result { write!(out, "{}", self.stock) } }\n'
        "fn main() { let mut shop = Shop::new(3); shop.sell(1); }\n",
        "Shop stock sell count rest out shop",
        "Display new abs fmt main Formatter Result",
    ),
}


def names_in(code: str) -> set[str]:
    plain = re.sub(r"'[^'\n]*'|\"[^\"\n{}]*\"", "", code)
    return set(re.findall(r"#?\w+", plain))


@pytest.mark.parametrize("language", sorted(CASES))
def test_own_names_go_and_outside_names_stay(language: str) -> None:
    code, own, outside = CASES[language]
    done = anonymize_identifiers(code, language)
    assert set(done.names) == set(own.split())
    assert not set(own.split()) & names_in(done.code)
    assert set(outside.split()) <= names_in(done.code)
    assert len(set(done.names.values())) == len(done.names)
    again = anonymize_identifiers(code, language)
    assert (again.code, again.names) == (done.code, done.names)


def test_python_does_the_same_under_other_names() -> None:
    code = CASES["python"][0]
    done = anonymize_identifiers(code, "python")
    spaces: list[dict[str, object]] = [{}, {}]
    for text, space in zip((code, done.code), spaces, strict=True):
        exec(text, space)
    one, two = spaces[0]["make"], spaces[1][done.names["make"]]
    assert one("Ann") == two("Ann") == '{"owner": "Ann 1"}'  # type: ignore[operator]


def test_style_and_markers_of_a_name_stay() -> None:
    done = anonymize_identifiers("MAX = 1\n_low = 2\nclass Big: ...\n", "python")
    assert list(done.names.values()) == ["NAME_1", "_name_2", "Name3"]


def test_real_modules_parse_and_have_the_same_shape() -> None:
    root = Path(sysconfig.get_paths()["stdlib"])
    for file in islice(sorted(root.glob("*.py")), 0, 120, 8):
        code = file.read_text("utf-8")
        done = anonymize_identifiers(code, "python")
        kinds = [type(node) for node in ast.walk(ast.parse(code))]
        assert [type(node) for node in ast.walk(ast.parse(done.code))] == kinds


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(ValueError, match="syntax errors"):
        anonymize_identifiers("def (:\n", "python", "a.py")
    with pytest.raises(UnknownLanguageError):
        anonymize_identifiers("a", "cobol")
