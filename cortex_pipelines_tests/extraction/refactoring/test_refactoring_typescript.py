"""Overloads, handlers and nested functions, as TypeScript code has them."""

import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.extraction.refactoring.detection import detect
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

Keys = list[tuple[str, str, str, str]]


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> RefactoringSettings:
    return load_parameters(request.config.rootpath).refactoring


def _between(before: dict[str, str], after: dict[str, str], settings: RefactoringSettings) -> Keys:
    return sorted(
        (
            refactoring.type,
            refactoring.name_before or "",
            refactoring.name_after or "",
            refactoring.container_after or "",
        )
        for refactoring in detect(before, after, settings)
    )


def _in_one(before: str, after: str, settings: RefactoringSettings) -> Keys:
    return _between({"a.ts": before}, {"a.ts": after}, settings)


def test_signatures_of_overloads_count_with_their_implementation(settings: RefactoringSettings) -> None:
    before = """class Shelf {
  place(item?: Item): this {
    if (item && item.height) this.rows.push(item.height);
    return this;
  }
}
"""
    after = """class Shelf {
  place(item?: Item): this;
  place(sizes: number[], row?: number): this;
  place(itemOrSizes?: Item | number[], row?: number): this {
    if (Array.isArray(itemOrSizes)) {
      this.sizes = { all: itemOrSizes, row };
      return this;
    }
    this.sizes = { all: [itemOrSizes.height] };
    return this;
  }
}
"""
    assert _in_one(before, after, settings) == [
        ("Add Parameter", "", "row", "place"),
        ("Rename Parameter", "item", "itemOrSizes", "place"),
    ]
    only = "class Shelf {\n  place(item?: Item): this;\n}\n"
    assert _in_one(only, only.replace("item?", "thing?"), settings) == [("Rename Parameter", "item", "thing", "place")]


def test_a_parameter_takes_the_name_of_a_variable_that_is_gone(settings: RefactoringSettings) -> None:
    before = """class Dock {
  open(row: number, source: any) {
    const { port } = this;
    port.count++;
    const link = source.attach(row, 3);
    return link.wrap(port);
  }
}
"""
    after = (
        before.replace("    const { port } = this;\n", "")
        .replace("source: any", "port: Port")
        .replace("source.", "port.")
    )
    assert _in_one(before, after, settings) == [("Rename Parameter", "source", "port", "open")]
    unused = before.replace("source.attach(row, 3)", "attach(row, 3)")
    other = after.replace("port.attach(row, 3)", "attach(row, 3)")
    assert ("Rename Parameter", "source", "port", "open") not in _in_one(unused, other, settings)


def test_a_call_of_another_function_of_the_name_is_nothing_inlined(settings: RefactoringSettings) -> None:
    before = """function follow(source: Source, sink: Sink) {
  source.read({
    next: (row) => sink.next(row),
    fail: (why) => sink.fail(why),
    done: () => {
      let why: unknown;
      try {
        why = explain();
      } catch (other) {
        sink.fail(other);
        return;
      }
      sink.fail(why);
    },
  });
}
"""
    after = """function follow(source: Source, sink: Sink) {
  source.read({
    next: (row) => sink.next(row),
    done: () => {
      sink.fail(explain());
    },
  });
}
"""
    assert _in_one(before, after, settings) == []


def test_what_replaces_a_statement_among_others_is_nothing_handed_on(settings: RefactoringSettings) -> None:
    before = """function link(input: Input) {
  const pipe = join(input, 4);
  let ended = false;
  input.on('head', (head) => {
    check(head.code, pipe);
    ended = true;
    head.drain(pipe);
  });
  return pipe;
}
"""
    wrapped = """const pull = pipe.pull.bind(pipe);
    pipe.pull = (...size) => {
      ended = true;
      return pull(...size);
    };"""
    assert _in_one(before, before.replace("ended = true;", wrapped), settings) == []
    named_type = """function link(input: Input) {
  const pipe = join(input, 4);
  let ended = false;
  const atHead = (head) => {
    check(head.code, pipe);
    ended = true;
    head.drain(pipe);
  };
  input.on('head', atHead);
  return pipe;
}
"""
    assert _in_one(before, named_type, settings) == [("Extract And Move Method", "", "atHead", "link")]


def test_a_member_of_an_object_without_a_name_is_not_called_from_another_file(settings: RefactoringSettings) -> None:
    before = {
        "a.ts": "function mount(options: Options) {\n"
        + "  const { layer = makeLayer(options) } = options;\n"
        + "  return layer.join(options.mark);\n}\n",
        "b.ts": "mount({ layer: makeLayer(first) });\n",
    }
    after = {
        "a.ts": "function mount(options: Options) {\n"
        + "  const { layer } = options;\n"
        + "  const made = layer(options);\n"
        + "  return made.join(options.mark);\n}\n",
        "b.ts": "mount({ layer: () => makeLayer(first) });\n",
    }
    assert _between(before, after, settings) == []


def test_a_function_does_not_see_names_that_one_between_binds(settings: RefactoringSettings) -> None:
    before = """function outer({ rows, mark }: Options) {
  function middle({ rows, mark }: Options) {
    function inner(row: Row) {
      return draw(row, mark, 1) + fill(row, mark, 2);
    }
    return rows.map(inner);
  }
  return middle({ rows, mark });
}
"""
    after = (
        before.replace("mark }: Options", "ink, pen }: Options")
        .replace("row, mark", "row, pen")
        .replace("{ rows, mark }", "{ rows, ink, pen }")
    )
    refactorings = _in_one(before, after, settings)
    assert ("Rename Parameter", "mark", "ink", "outer") in refactorings
    assert ("Rename Parameter", "mark", "pen", "middle") in refactorings


def test_a_helper_that_goes_into_another_function_is_not_that_function(settings: RefactoringSettings) -> None:
    before = """function write(all: Cells) {
  const root = make.name('all');
  const heads = all.heads.length === 0 ? none : make.part('heads', listed(all.heads, root));
  return make.group(heads, all.size, root);
}

function listed(cells: Cell[], root: Root) {
  return make.list(cells.map((cell) => pair(cell.title, reach(root, cell.name)), true));
}
"""
    after = """function write(all: Cells) {
  const root = make.name('all');
  function labelled(rows: Cell[], title: string) {
    return rows.length === 0 ? none : make.part(title, make.list(
      rows.map((cell) => pair(cell.title, reach(root, cell.name)), true)));
  }
  const heads = labelled(all.heads, 'heads');
  return make.group(heads, all.size, root);
}
"""
    assert "listed" not in {before for _, before, _, _ in _in_one(before, after, settings)}
