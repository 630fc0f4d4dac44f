"""Units of each language against what a person reads in the code."""

import pytest

from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.syntax.grammars import UnknownLanguageError

JAVASCRIPT = """\
import React, { useState as useЗначение } from 'react';
import {
  a,
} from "./módulo.js";

/**
 * Größe in Pixeln.
 * @param {number} x
 */
export const größe = async (x) => {
  const local = 1;
  function inner() { return local; }
  return inner();
}; // trailing

@sealed
export default class Widget extends React.Component {
  static #count = 0;
  state = { open: false };
  onClick = (e) => { this.toggle(e); };
  constructor(props) { super(props); }
  static async *items(n) { yield n; }
  get open() { return true; }
  [Symbol.iterator]() {}
}

function* numbers() { yield 1; }
const handlers = {
  onSave() {},
  'on-load': function () {},
  onError: async (e) => e,
};
module.exports.load = function load(path) {};
Widget.prototype.close = function () {};
const { readFile: read } = require('fs');
let count = 0, LIMIT = 3;
describe('x', () => { const hidden = 1; });
"""

TYPESCRIPT = """\
import type { T } from './t';
import fs = require("fs");

/** A füller. */
@Injectable({ providedIn: 'root' })
export abstract class Store<T> extends Base implements Reader {
  @Input() private name: string = "ü";
  protected readonly load = async (key: string): Promise<T> => { return null; };
  constructor(private http: Http) { super(); }
  abstract save(value: T): void;
  /** Overload. */
  get(key: string): T;
  get(key: any): any { return key; }
}

export interface Reader extends Closable {
  read(size: number): string;
  readonly size: number;
}

export enum Colour { Red, Green = 2 }
declare const enum Flag { A }
namespace Geo.Shapes {
  export const ORIGIN = 0;
  export function area(r: number): number { return r; }
}
declare module 'lib' { function ambient(a: number): void; }
export function over(a: string): void;
export function over(a: any) {}
declare const VERSION: string;
export default (a: number) => a + 1;
"""

TSX = """\
import React from 'react';

export const Panel: React.FC<Props> = ({ title }) => {
  const [open, setOpen] = useState<boolean>(false);
  return <div title="ä">{open ? title : null}</div>;
};
"""

JAVA = """\
package com.example;

import java.util.List;
import static org.junit.Assert.*;

/**
 * Hält Größen.
 */
@Entity
@Table(name = "ä")
public final class Größe<T extends Comparable<T>> extends Base implements Runnable {
    private static final int MAX = 3;
    private final String ä = "ö", b;
    int plain;

    public Größe(String s) { this.b = s; }

    @Override
    public <R> List<R> run(@Nullable final String a, int... rest) throws IOException {
        Runnable r = new Runnable() {
            public void run() { }
        };
        return null;
    } // trailing

    enum Farbe {
        ROT { int wert() { return 1; } },
        BLAU;
        abstract int wert();
    }

    interface Quelle {
        int LIMIT = 1;
        String lies(int n);
        default void ende() { }
    }

    @interface Marke { int value() default 1; }

    record Punkt(int x, int y) {
        Punkt { if (x < 0) throw new IllegalArgumentException(); }
        static Punkt origin() { return new Punkt(0, 0); }
    }
}
"""

GO = """\
package main

import "fmt"
import (
\t"net/http"
\tal "example.com/ü"
)

// Größe is a size.
// It has two lines.
type Größe struct {
\tW, H int
}

type (
\t// Reader reads.
\tReader interface {
\t\tRead(p []byte) (n int, err error)
\t\tfmt.Stringer
\t}
\tID int
)

const MaxSize = 10

const (
\tA = iota
\tB
)

var x, y = 1, "ü"

func (g *Größe) Area(scale, extra int) int {
\tf := func(v int) int { var loc = v; return loc }
\treturn f(g.W)
} // trailing

func (s Set[K]) Len() int { return 0 }

func Map[T any](in []T, f func(T) T) []T { return in }
"""

RUST = """\
use std::{fmt, collections::HashMap};
extern crate serde;

/// A größe.
/// Two lines.
#[derive(Debug, Clone)]
// plain
#[repr(C)]
pub struct Größe<T> { w: T }
struct Unit;
pub union Bits { a: u32 }
enum Shape { Dot, Line(i32) }

pub trait Area: fmt::Debug {
    const SIDES: u32;
    fn area(&self) -> f64;
    fn name(&self) -> String { String::from("ü") }
}

impl<T> Area for geo::Größe<T> where T: Copy {
    #[inline]
    pub(crate) async fn area(&self) -> f64 { let f = |x| x; f(1.0) }
}

impl Größe<u8> {
    pub fn new() -> Self { fn helper() {} Größe { w: 1 } }
}

mod inner {
    pub const LIMIT: usize = 3;
    static mut COUNT: u8 = 0;
    pub fn free() {}
}

extern "C" { fn external(a: i32); }
macro_rules! skip { () => { fn not_a_unit() {} } }
"""

OUTLINES = {
    ("javascript", "a.jsx"): (
        JAVASCRIPT,
        """
        import react 1 1 1
        import ./módulo.js 2 2 4
        function größe 10 10 14
        function größe.inner 12 12 12
        class Widget 16 17 25
        variable Widget.#count 18 18 18
        variable Widget.state 19 19 19
        method Widget.onClick 20 20 20
        method Widget.constructor 21 21 21
        method Widget.items 22 22 22
        method Widget.open 23 23 23
        method Widget.[Symbol.iterator] 24 24 24
        function numbers 27 27 27
        constant handlers 28 28 32
        method handlers.onSave 29 29 29
        function load 33 33 33
        method close 34 34 34
        constant read 35 35 35
        variable count 36 36 36
        variable LIMIT 36 36 36
        """,
    ),
    ("typescript", "a.ts"): (
        TYPESCRIPT,
        """
        import ./t 1 1 1
        import fs 2 2 2
        class Store 5 6 14
        variable Store.name 7 7 7
        method Store.load 8 8 8
        method Store.constructor 9 9 9
        method Store.save 10 10 10
        method Store.get 12 12 12
        method Store.get 13 13 13
        interface Reader 16 16 19
        method Reader.read 17 17 17
        enum Colour 21 21 21
        enum Flag 22 22 22
        constant Geo.Shapes.ORIGIN 24 24 24
        function Geo.Shapes.area 25 25 25
        function lib.ambient 27 27 27
        function over 28 28 28
        function over 29 29 29
        constant VERSION 30 30 30
        function default 31 31 31
        """,
    ),
    ("typescript", "a.tsx"): (
        TSX,
        """
        import react 1 1 1
        function Panel 3 3 6
        """,
    ),
    ("java", "A.java"): (
        JAVA,
        """
        import java.util.List 3 3 3
        import org.junit.Assert.* 4 4 4
        class Größe 9 11 44
        constant Größe.MAX 12 12 12
        variable Größe.ä 13 13 13
        variable Größe.b 13 13 13
        variable Größe.plain 14 14 14
        method Größe.Größe 16 16 16
        method Größe.run 18 19 24
        method Größe.run.run 21 21 21
        enum Größe.Farbe 26 26 30
        constant Größe.Farbe.ROT 27 27 27
        method Größe.Farbe.ROT.wert 27 27 27
        constant Größe.Farbe.BLAU 28 28 28
        method Größe.Farbe.wert 29 29 29
        interface Größe.Quelle 32 32 36
        constant Größe.Quelle.LIMIT 33 33 33
        method Größe.Quelle.lies 34 34 34
        method Größe.Quelle.ende 35 35 35
        interface Größe.Marke 38 38 38
        method Größe.Marke.value 38 38 38
        class Größe.Punkt 40 40 43
        method Größe.Punkt.Punkt 41 41 41
        method Größe.Punkt.origin 42 42 42
        """,
    ),
    ("go", "a.go"): (
        GO,
        """
        import fmt 3 3 3
        import net/http 5 5 5
        import example.com/ü 6 6 6
        struct Größe 11 11 13
        interface Reader 17 17 20
        method Reader.Read 18 18 18
        constant MaxSize 24 24 24
        constant A 27 27 27
        constant B 28 28 28
        variable x 31 31 31
        variable y 31 31 31
        method Größe.Area 33 33 36
        method Set.Len 38 38 38
        function Map 40 40 40
        """,
    ),
    ("rust", "a.rs"): (
        RUST,
        """
        import std::{fmt,collections::HashMap} 1 1 1
        import serde 2 2 2
        struct Größe 6 9 9
        struct Unit 10 10 10
        struct Bits 11 11 11
        enum Shape 12 12 12
        trait Area 14 14 18
        constant Area.SIDES 15 15 15
        method Area.area 16 16 16
        method Area.name 17 17 17
        method Größe.area 21 22 22
        method Größe.new 26 26 26
        function Größe.new.helper 26 26 26
        constant inner.LIMIT 30 30 30
        variable inner.COUNT 31 31 31
        function inner.free 32 32 32
        function external 35 35 35
        """,
    ),
}


def by_name(text: str, language: str, path: str, settings) -> dict:
    units_by_name: dict = {}
    for unit in file_units(text, language, path, settings):
        units_by_name.setdefault(unit.qualified_name, unit)
    return units_by_name


@pytest.mark.parametrize(("language", "path"), OUTLINES)
def test_units_with_names_and_lines(language: str, path: str, settings) -> None:
    text, outline = OUTLINES[(language, path)]
    units = file_units(text, language, path, settings)
    extracted = [
        f"{unit.kind} {unit.qualified_name.replace(', ', ',')} {unit.start_line} {unit.name_line} {unit.end_line}"
        for unit in units
    ]
    assert extracted == [line.strip() for line in outline.strip().split("\n")]
    assert not any(unit.has_error for unit in units)


@pytest.mark.parametrize(("language", "path"), OUTLINES)
def test_spans_are_exact_bytes_and_whole_constructs(language: str, path: str, settings) -> None:
    text, _ = OUTLINES[(language, path)]
    data = text.encode()
    for unit in file_units(text, language, path, settings):
        assert unit.code.encode() == data[unit.start_byte : unit.end_byte]
        assert unit.code == unit.code.strip()
        assert "trailing" not in unit.code.split("\n")[-1]
        if unit.body_start_byte is not None:
            assert unit.start_byte < unit.body_start_byte < unit.end_byte


@pytest.mark.parametrize(
    ("language", "path", "name", "docstring", "signature"),
    [
        ("javascript", "a.js", "größe", "Größe in Pixeln.\n@param {number} x", "export const größe = async (x) =>"),
        ("typescript", "a.ts", "Store.get", "Overload.", "get(key: string): T"),
        ("typescript", "a.ts", "Store", "A füller.", "export abstract class Store<T> extends Base implements Reader"),
        (
            "java",
            "A.java",
            "Größe.run",
            None,
            "public <R> List<R> run(@Nullable final String a, int... rest) throws IOException",
        ),
        (
            "java",
            "A.java",
            "Größe",
            "Hält Größen.",
            "public final class Größe<T extends Comparable<T>> extends Base implements Runnable",
        ),
        ("go", "a.go", "Größe", "Größe is a size.\nIt has two lines.", "type Größe struct"),
        ("go", "a.go", "Reader", "Reader reads.", "Reader interface"),
        ("go", "a.go", "Größe.Area", None, "func (g *Größe) Area(scale, extra int) int"),
        ("rust", "a.rs", "Größe", "A größe.\nTwo lines.", "pub struct Größe<T>"),
        ("rust", "a.rs", "Größe.area", None, "pub(crate) async fn area(&self) -> f64"),
    ],
)
def test_documentation_and_signature(
    language: str, path: str, name: str, docstring: str | None, signature: str, settings
) -> None:
    text = next(code for (outline_language, _), (code, _) in OUTLINES.items() if outline_language == language)
    unit = by_name(text, language, path, settings)[name]
    assert unit.docstring == docstring
    assert unit.signature == signature


def test_context_is_what_encloses(settings) -> None:
    rust = by_name(RUST, "rust", "a.rs", settings)
    assert rust["Größe.area"].context == "impl<T> Area for geo::Größe<T> where T: Copy"
    assert rust["inner.free"].context == "mod inner"
    java = by_name(JAVA, "java", "A.java", settings)
    assert java["Größe.Punkt.origin"].context.split("\n") == [
        "public final class Größe<T extends Comparable<T>> extends Base implements Runnable",
        "record Punkt(int x, int y)",
    ]


def test_a_trailing_comment_does_not_document_the_next_unit(settings) -> None:
    units = by_name("package a\nvar x = 1 // of x\nfunc f() {}\n", "go", "a.go", settings)
    assert units["f"].docstring is None
    assert by_name("package a\n\n// far\n\nfunc f() {}\n", "go", "a.go", settings)["f"].docstring is None


CALLS = {
    ("python", "a.py"): ("@deco(1)\ndef f():\n    a.b(c())\n    d[0]()\n", ["b", "c", "deco"]),
    ("javascript", "a.js"): ("function f() { a.b(new C(d`x`)); e?.g(); this.#h() }", ["#h", "C", "b", "d", "g"]),
    ("typescript", "a.ts"): ("function f() { a<T>(b); new x.Y<T>() }", ["Y", "a"]),
    ("java", "A.java"): ("class A { int f() { return g(new B<C>(new x.D()).h()); } }", ["B", "D", "g", "h"]),
    ("go", "a.go"): ("package a\nfunc f() { a.B(c(1)); d[int](2) }", ["B", "c"]),
    ("rust", "a.rs"): ("fn f() { a::b(c!(x)); d.e::<T>(g::<U>()) }", ["b", "c", "e", "g"]),
}


@pytest.mark.parametrize(("language", "path"), CALLS)
def test_calls_by_their_simple_names(language: str, path: str, settings) -> None:
    code, names = CALLS[(language, path)]
    assert file_units(code, language, path, settings)[0].calls == names


def test_a_member_of_a_group_is_not_the_group(settings) -> None:
    text = "package a\nconst (\n\tX = 1\n)\ntype (\n\tY struct{}\n)\nconst Z = 2\n"
    units = by_name(text, "go", "a.go", settings)
    assert [(units[name].code, units[name].end_line) for name in "XYZ"] == [
        ("X = 1", 3),
        ("Y struct{}", 6),
        ("const Z = 2", 8),
    ]


def test_each_name_of_a_declaration_is_a_unit_unless_there_is_much_to_repeat(settings) -> None:
    text = "(a, b) = [c, *d] = 1, 2\ne = f = g.h = I = 3\nx.y = z = [w, V] = 1\nJ, k = 1, 2\n"
    names = [(unit.kind, unit.name) for unit in file_units(text, "python", "a.py", settings)]
    variables = [("variable", name) for name in "abef"]
    assert names == [*variables, ("constant", "I"), ("variable", "z"), ("constant", "J"), ("variable", "k")]
    many = ", ".join(f"n{number}" for number in range(100))
    values = "0, " * (settings.max_repeated_bytes // 300)
    units = file_units(f"const [{many}] = x;", "javascript", "a.js", settings)
    assert [unit.name for unit in units] == many.split(", ")
    (unit,) = file_units(f"const [{many}] = [{values}];", "javascript", "a.js", settings)
    assert (unit.kind, unit.name) == ("constant", many)


DESTRUCTURED = """\
export const { a, b: { c = 1, ...d }, [e]: f = g, ...h } = i, [j, [k = l], ...m] = n;
var
  // one alone, below a comment
  [o] = p;
if (a) { const [q] = r; }
"""


@pytest.mark.parametrize(("language", "path"), [("javascript", "a.js"), ("typescript", "a.ts")])
def test_names_of_what_takes_a_value_apart(language: str, path: str, settings) -> None:
    units = file_units(DESTRUCTURED, language, path, settings)
    constants = [(unit.name, unit.start_line) for unit in units if unit.kind == "constant"]
    assert constants == [(name, 1) for name in "acdfhjkm"]
    assert [(unit.name, unit.start_line) for unit in units if unit.kind == "variable"] == [("o", 2)]


def test_a_declaration_in_any_block_of_a_module_or_class_is_one_of_it(settings) -> None:
    text = (
        "for a in b:\n    c = 1\nwith d:\n    while e:\n        f = 1\n"
        "class G:\n    match h:\n        case 1:\n            i = 1\n"
        "def j():\n    with k:\n        l = 1\n"
    )
    units = file_units(text, "python", "a.py", settings)
    names = [unit.qualified_name for unit in units if unit.kind == "variable"]
    assert names == ["c", "f", "G.i"]


def test_what_is_inside_of_a_go_method_is_below_its_type(settings) -> None:
    text = "package a\nfunc (s *Store) Load() {\n\ttype row struct{ id int }\n}\n"
    names = [unit.qualified_name for unit in file_units(text, "go", "a.go", settings)]
    assert names == ["Store.Load", "Store.Load.row"]


def test_a_comment_behind_an_attribute_does_not_part_it_from_its_unit(settings) -> None:
    text = "#[test] // why\n#[cfg(x)] /* and */\nfn a() {}\nfn b() {} // trailing\nfn c() {}\n"
    units = file_units(text, "rust", "a.rs", settings)
    assert [(unit.name, unit.start_line) for unit in units] == [("a", 1), ("b", 4), ("c", 5)]


# What the grammar of TypeScript takes for errors, and TypeScript does not.
GAPS = """\
declare const _default: import("react").FC<import('./props').Props> & {
  Item: (import("a").B | import("b").C)[];
};
export default function (): {
  error: string;
};
export interface Factory {
  (name: string): Factory
    // generic
    <T extends Function>(fn: T): T
  <T>(using: T): T
}
declare global { var Shared: string; }
async function load() { return import("x").then((all) => all.y); }
"""


def test_valid_code_that_the_grammar_does_not_know(settings) -> None:
    units = file_units(GAPS, "typescript", "a.d.ts", settings)
    lines = [(unit.kind, unit.name, unit.name_line, unit.end_line) for unit in units]
    assert lines == [
        ("constant", "_default", 1, 3),
        ("function", "default", 4, 6),
        ("interface", "Factory", 7, 12),
        ("variable", "Shared", 13, 13),
        ("function", "load", 14, 14),
    ]
    assert not any(unit.has_error for unit in units)
    assert all(unit.code in GAPS for unit in units)
    assert units[4].calls == ["then"]


def test_a_language_without_grammar_is_named(settings) -> None:
    with pytest.raises(UnknownLanguageError, match=r"a\.rb: no grammar for 'ruby'.*rust"):
        file_units("x", "ruby", "a.rb", settings)


def test_each_constant_of_a_go_list_is_a_unit(settings) -> None:
    text = "package a\nconst X, Y = 1, 2\nconst (\n\tA, B int = iota, iota\n\tC, D\n)\n"
    names = [unit.name for unit in file_units(text, "go", "a.go", settings)]
    assert names == ["X", "Y", "A", "B", "C", "D"]
