"""A reformatted or commented copy is a copy; a changed program is not."""

import re

import polars as pl
import pytest

from cortex_pipelines.datasets.decontamination import contaminated, fingerprints_of
from cortex_pipelines.datasets.dedup.minhash import IncrementalClustering
from cortex_pipelines.datasets.dedup.similarity_join import near_duplicate_pairs
from cortex_pipelines.datasets.dedup.text_tokens import guessed_language, normal_number, normal_string, text_tokens
from cortex_pipelines.datasets.dedup.token_stream import token_stream
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import cluster_units

PYTHON = """def reconcile(ledger, payments, tolerance=0.01):
    by_ref = {row['ref']: row for row in ledger}
    for (payment, day) in payments:
        row = by_ref.get(payment['ref'], f'none of {day["name"]}')
        if (row is None or (payment.total + 1_000) * 2 > 0xFF):
            raise Missing('it\\'s', r'\\d', u'ok'); continue
    return (by_ref)
"""
BLACK = '''def reconcile(
    ledger,
    payments,
    tolerance=0.01,  # euros
):
    """Match payments to ledger rows."""
    by_ref = {row["ref"]: row for row in ledger}
    # each payment
    for payment, day in payments:
\trow = by_ref.get(
\t    payment["ref"],
\t    f"none of {day['name']}",
\t)
\tif row is None or (payment.total + 1000) * 2 > 255:
\t    raise Missing("it's", "\\\\d", "ok")
\t    continue
    return by_ref
'''
JAVASCRIPT = """function reconcile(ledger, payments) {
  const byRef = new Map(ledger.map(row => [row['ref'], row]));
  for (const payment of payments) {
    const row = byRef.get(payment['ref']) || new Missing;
    if (!row || row.skipped && payment.open) { missing.push({'row': row, n: 0.50}); continue; }
    log(`row ${row.name}`, 'it\\'s', /[/'"]+/g);
  }
  return (matched);
}
"""
PRETTIER = """function reconcile(ledger, payments) {
  // by reference
  const byRef = new Map(ledger.map((row) => [row["ref"], row]))
  for (const payment of payments) {
    const row = byRef.get(payment["ref"]) || new Missing()
    if (!row || (row.skipped && payment.open)) {
      missing.push({
        row: row,
        n: 0.5,
      })
      continue
    }
    log(`row ${row.name}`, "it's", /[/'"]+/g)
  }
  return matched
}
"""
TYPESCRIPT = """class Ledger {
  find(refs: string[], kind: 'a' | 'b', done?: (row: Row) => void): Row | undefined {
    type Found = { 'row': Row, at: number };
    const found = refs.filter(ref => (this.rows as any)[ref]);
    return found.length ? this.rows[found[0]] : undefined;
  }
}
"""
TYPESCRIPT_PRETTIER = """class Ledger {
  /** The row. */
  find(
    refs: string[],
    kind: "a" | "b",
    done?: (row: Row) => void,
  ): Row | undefined {
    type Found = { row: Row; at: number }
    const found = refs.filter((ref) => (this.rows as any)[ref])
    return found.length ? this.rows[found[0]] : undefined
  }
}
"""
JAVA = """public int find(List<String> refs, char kind) throws IOException {
    long most = 1_000L; int[] steps = {1, 2, 3,};
    for (int i = 0; i < refs.size(); i++) {
        if (refs.get(i).equals("a\\u0062")) return (steps[i] + i) * 0x10;
    }
    return -1;
}
"""
JAVA_FORMATTED = """/** Finds it. */
public int find(
        List<String> refs,
        char kind)
        throws IOException {
\tlong most = 1000L; // as many
\tint[] steps = {1, 2, 3};
\tfor (int i = 0;
\t        i < refs.size();
\t        i++) {
\t\tif (refs.get(i).equals("ab"))
\t\t\treturn (steps[i] + i) * 16;
\t}
\treturn -1;
}
"""
GO = """func find(refs []string, kind rune) (int, error) {
    most := 1_000; steps := []int{1, 2, 3}
    for i, ref := range refs { if ref == `a"b` { return (steps[i]), nil } }
    return most, errors.New("none\\x21")
}
"""
GOFMT = """// find finds it.
func find(
\trefs []string,
\tkind rune,
) (int, error) {
\tmost := 1000
\tsteps := []int{
\t\t1,
\t\t2,
\t\t3, // the last
\t}
\tfor i, ref := range refs {
\t\tif ref == "a\\"b" {
\t\t\treturn steps[i], nil
\t\t}
\t}
\treturn most, errors.New("none!")
}
"""
RUST = """pub fn find(&self, refs: &[String], kind: char) -> Result<u32, Error> {
    let steps = [1, 2, 3]; let most = 1_000u32;
    match kind { 'a' => { steps[0] } 'b' => return Ok(most), _ => { self.log(r"\\d"); 0 } };
    refs.iter().map(|one| { one.len() }).find(|n| *n > 0xff).ok_or(Error::None)
}
"""
RUSTFMT = """/// Finds it.
pub fn find(
    &self,
    refs: &[String],
    kind: char,
) -> Result<u32, Error> {
    let steps = [
        1, 2, 3, // all
    ];
    let most = 1000u32;
    match kind {
        'a' => steps[0],
        'b' => return Ok(most),
        _ => {
            self.log("\\\\d");
            0
        }
    };
    refs.iter()
        .map(|one| one.len())
        .find(|n| *n > 255)
        .ok_or(Error::None)
}
"""
COPIES = {
    "python": (PYTHON, BLACK),
    "javascript": (JAVASCRIPT, PRETTIER),
    "typescript": (TYPESCRIPT, TYPESCRIPT_PRETTIER),
    "java": (JAVA, JAVA_FORMATTED),
    "go": (GO, GOFMT),
    "rust": (RUST, RUSTFMT),
}


def squeezed(stream: str) -> list[str]:
    """The words and signs of a token stream, as its shingles are made of them."""
    return re.findall(r"\w+|[^\w\s]", stream)


@pytest.mark.parametrize("language", COPIES)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_reformatted_copy_has_the_same_token_stream(language: str, ends: str) -> None:
    code, formatted = COPIES[language]
    copy = formatted.replace("\n", ends)
    assert squeezed(token_stream(code, language)) == squeezed(token_stream(copy, language))


@pytest.mark.parametrize(
    ("language", "old", "new"),
    [
        ("python", "* 2", "+ 2"),
        ("python", "'ref'", "'reference'"),
        ("python", "by_ref.get", "by_ref.pop"),
        ("python", "(payment.total + 1_000) * 2", "payment.total + 1_000 * 2"),
        ("python", "'it\\'s'", "'it\"s'"),
        ("python", "r'\\d'", "r' \\d'"),
        ("javascript", "||", "&&"),
        ("javascript", "'ref'", "'name'"),
        ("javascript", "missing.push", "matched.push"),
        ("javascript", "|| row.skipped && payment.open", "&& (row.skipped || payment.open)"),
        ("javascript", "0.50", "0.51"),
        ("typescript", "'a' | 'b'", "'a' & 'b'"),
        ("typescript", "'b'", "'c'"),
        ("typescript", "refs.filter", "refs.map"),
        ("java", "i < ", "i <= "),
        ("java", '"a\\u0062"', '"ac"'),
        ("java", "refs.get", "refs.remove"),
        ("java", "(steps[i] + i) * 0x10", "steps[i] + i * 0x10"),
        ("go", "==", "!="),
        ("go", "none", "no"),
        ("go", "errors.New", "errors.Old"),
        ("rust", "*n >", "*n <"),
        ("rust", "\\d", "\\w"),
        ("rust", "one.len()", "one.size()"),
        ("rust", "'a' =>", "'c' =>"),
    ],
)  # fmt: skip
def test_a_changed_program_has_another_one(language: str, old: str, new: str) -> None:
    code = COPIES[language][0]
    assert old in code
    changed = code.replace(old, new, 1)
    assert squeezed(token_stream(code, language)) != squeezed(token_stream(changed, language))


@pytest.mark.parametrize("language", COPIES)
def test_the_body_of_a_copy_is_a_copy_without_its_header(language: str) -> None:
    sign = ":\n" if language == "python" else "{"
    bodies = [code.partition(sign)[2] for code in COPIES[language]]
    first, second = (squeezed(token_stream(body, language)) for body in bodies)
    assert first == second


@pytest.mark.parametrize(
    ("language", "first", "second"),
    [
        ("python", "x = f('a', 1_0,\n  (", 'x = f("a", 10, (  # what follows'),
        ("python", "def f(self):\n    '''Says.'''\n    if (", "def f(self):\n    if ("),
        ("javascript", "foo('a', [1, 2,], (", 'foo("a", [1, 2], ( // more'),
        ("javascript", "x = /a\\/\\/b'/g; y = ((", "x = /a\\/\\/b'/g\ny = (("),
        ("typescript", "let a: 'x' = ((", 'let a: "x" = (( /* more */'),
        ("java", 'f(1_0, "a\\u0062", ((;', 'f(10, "ab", (('),
        ("go", "x := f(`a`, 0x10, ((", 'x := f("a", 16, (('),
        ("rust", "x::<&'a u8>(r#\"a\"#, '\\u{41}', ((", "x::<&'a u8>(\"a\", 'A', (("),
    ],
)  # fmt: skip
def test_code_that_does_not_parse_is_read_by_its_signs(language: str, first: str, second: str) -> None:
    assert squeezed(token_stream(first, language)) == squeezed(token_stream(second, language))
    assert token_stream(first, language) == text_tokens(first, language)


@pytest.mark.parametrize("language", COPIES)
def test_signs_alone_tell_nearly_the_stream_of_the_tree(language: str) -> None:
    code = COPIES[language][1]
    by_tree, by_signs = (set(squeezed(read(code, language))) for read in (token_stream, text_tokens))
    assert len(by_tree & by_signs) / len(by_tree | by_signs) > 0.9


@pytest.mark.parametrize(
    ("literal", "language", "normal"),
    [
        ("'a\"b'", "python", '"a\\"b"'),
        ('"""a\nb"""', "python", '"a\\n b"'),
        ("Rb'\\x'", "python", 'b"\\\\x"'),
        ('"  a"', "python", '"\\s\\s a"'),
        ("'\\u{e9}\\d'", "javascript", '"éd"'),
        ('"\\ud83d\\ude00"', "java", '"😀"'),
        ('"""\n    a\n      b"""', "java", '"a\\n \\s\\s b"'),
        ("'a'", "java", "'a'"),
        ("`a\\n`", "go", '"a\\\\n"'),
        ('br##"a"b"##', "rust", 'b"a\\"b"'),
    ],
)
def test_a_string_is_told_by_its_value(literal: str, language: str, normal: str) -> None:
    assert normal_string(literal, language) == normal


@pytest.mark.parametrize(
    ("literal", "language", "normal"),
    [
        ("1_000", "python", "1000"),
        ("0XfF", "python", "255"),
        ("0b11", "rust", "3"),
        ("0o17", "python", "15"),
        ("017", "go", "15"),
        ("1.50", "javascript", "1.5"),
        ("1.0", "javascript", "1"),
        ("1.0", "python", "1.0"),
        (".5", "java", "0.5"),
        ("1E5", "python", "100000.0"),
        ("10l", "java", "10l"),
        ("1_0u8", "rust", "10u8"),
        ("0xffu8", "rust", "255u8"),
        ("10n", "javascript", "10n"),
        ("2J", "python", "2j"),
        ("0x1p-2", "go", "0x1p-2"),
        ("9" * 5000, "python", "9" * 5000),
    ],
)
def test_a_number_is_told_by_its_value(literal: str, language: str, normal: str) -> None:
    assert normal_number(literal, language) == normal


@pytest.mark.parametrize("language", COPIES)
def test_a_language_is_guessed_alike_for_copies(language: str) -> None:
    assert {guessed_language(code) for code in COPIES[language]} == {language}


def test_prose_is_no_code() -> None:
    assert guessed_language("Reads the user's file, and returns what is in it.") is None


def test_a_text_of_comments_alone_stays_what_it_is() -> None:
    assert token_stream("# one thing", "python") != token_stream("# another", "python")


@pytest.mark.parametrize("has_language", [True, False])
@pytest.mark.parametrize("language", COPIES)
def test_copies_are_in_one_cluster_and_no_split_separates_them(
    language: str, has_language: bool, settings: DatasetSettings
) -> None:
    codes = COPIES[language]
    units = pl.DataFrame({"unit_id": ["0", "1"], "code": codes, "body": codes})
    rows = pl.DataFrame({"example_id": ["0", "1"], "completion": codes})
    if has_language:
        column = pl.lit(language).alias("language")
        units, rows = units.with_columns(column), rows.with_columns(column)
    clusters = cluster_units(units, IncrementalClustering(None, settings))["cluster"]
    assert clusters.to_list() == ["0", "0"]
    pairs = near_duplicate_pairs(rows[:1], rows[1:], "completion", settings)
    assert pairs.rows() == [("0", "1", 1.0)]


@pytest.mark.parametrize("language", COPIES)
def test_a_reformatted_copy_of_a_benchmark_is_one(language: str, settings: DatasetSettings) -> None:
    code, formatted = COPIES[language]
    benchmarks = [fingerprints_of([code, token_stream(code, language)], 10)]
    assert contaminated([formatted], benchmarks, settings, [language]).all()


@pytest.mark.parametrize("quotes", ['"""', "'''", '"', "'", "`", 'r#"'])
@pytest.mark.parametrize("language", ["python", "javascript", "typescript", "java", "go", "rust"])
def test_quotes_that_are_never_closed_are_read_to_the_end(language: str, quotes: str) -> None:
    text = f"value = {quotes}" + "\\n" * 2000  # two ways to read a backslash would be 2 ** 2000
    assert "value" in text_tokens(text, language)
