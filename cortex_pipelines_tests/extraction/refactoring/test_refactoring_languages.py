"""Every type of refactoring, done to code in every language, is found: it and nothing else."""

from dataclasses import dataclass

import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.extraction.refactoring.detection import Refactoring, detect
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> RefactoringSettings:
    return load_parameters(request.config.rootpath).refactoring


@dataclass(frozen=True)
class Sample:
    """Code in one language, and the words of it that refactorings change."""

    path: str
    other_path: str
    basket: str  # a type with two methods
    clean: str  # a function
    other: str  # what the second file holds
    part: tuple[str, str]  # what is extracted from ``total``, and the call of it
    extracted: str  # the method that the part becomes
    parameters: tuple[str, str, str, str]  # of ``total``: as it is, one more, one less, turned

    def before(self) -> dict[str, str]:
        return {self.path: self.basket + self.clean, self.other_path: self.other}


PYTHON = Sample(
    path="shop/basket.py",
    other_path="shop/words.py",
    basket='''
class Basket:
    """What a customer takes."""

    def __init__(self, items):
        self.items = items

    def total(self, rate, discount=0):
        amount = 0
        for item in self.items:
            price = item.price * item.count
            amount += price - item.rebate
        if amount > discount:
            amount = amount - discount
        return amount * (1 + rate)

    def heaviest(self):
        found = max(self.items, key=lambda item: item.weight)
        log("the heaviest is %s", found.name)
        return found

''',
    clean="""
def clean(text, marks):
    words = [word.strip(marks) for word in text.split(",")]
    known = set(words)
    return sorted(word for word in known if word and word not in STOP)
""",
    other="""
STOP = {"a", "the"}


def shorten(line):
    head, _, tail = line.partition("--")
    return head if tail else line
""",
    part=(
        """        if amount > discount:
            amount = amount - discount
        return amount * (1 + rate)
""",
        "        return self.finish(amount, rate, discount)\n",
    ),
    extracted="""
    def finish(self, amount, rate, discount):
        if amount > discount:
            amount = amount - discount
        return amount * (1 + rate)
""",
    parameters=(
        "total(self, rate, discount=0)",
        "total(self, rate, discount=0, strict=False)",
        "total(self, rate)",
        "total(self, discount, rate)",
    ),
)

JAVASCRIPT = Sample(
    path="shop/basket.js",
    other_path="shop/words.js",
    basket="""
class Basket {
  constructor(items) {
    this.items = items;
  }

  total(rate, discount) {
    let amount = 0;
    for (const item of this.items) {
      const price = item.price * item.count;
      amount += price - item.rebate;
    }
    if (amount > discount) {
      amount = amount - discount;
    }
    return amount * (1 + rate);
  }

  heaviest() {
    const found = this.items.reduce((one, other) => (one.weight > other.weight ? one : other));
    console.log(`the heaviest is ${found.name}`);
    return found;
  }

}
""",
    clean="""
const clean = (text, marks) => {
  const words = text.split(',').map((word) => word.replace(marks, ''));
  const known = new Set(words);
  return [...known].filter((word) => word && !STOP.has(word)).sort();
};
""",
    other="""
const STOP = new Set(['a', 'the']);

function shorten(line) {
  const at = line.indexOf('--');
  return at < 0 ? line : line.slice(0, at);
}
""",
    part=(
        """    if (amount > discount) {
      amount = amount - discount;
    }
    return amount * (1 + rate);
""",
        "    return this.finish(amount, rate, discount);\n",
    ),
    extracted="""
  finish(amount, rate, discount) {
    if (amount > discount) {
      amount = amount - discount;
    }
    return amount * (1 + rate);
  }
""",
    parameters=(
        "total(rate, discount)",
        "total(rate, discount, strict = false)",
        "total(rate)",
        "total(discount, rate)",
    ),
)

TYPESCRIPT = Sample(
    path="shop/basket.ts",
    other_path="shop/words.ts",
    basket="""
export class Basket {
  constructor(private readonly items: Item[]) {}

  total(rate: number, discount: number): number {
    let amount = 0;
    for (const item of this.items) {
      const price: number = item.price * item.count;
      amount += price - item.rebate;
    }
    if (amount > discount) {
      amount = amount - discount;
    }
    return amount * (1 + rate);
  }

  heaviest(): Item {
    const found = this.items.reduce((one, other) => (one.weight > other.weight ? one : other));
    console.log(`the heaviest is ${found.name}`);
    return found;
  }

}
""",
    clean="""
export function clean(text: string, marks: RegExp): string[] {
  const words = text.split(',').map((word) => word.replace(marks, ''));
  const known = new Set(words);
  return [...known].filter((word) => word && !STOP.has(word)).sort();
}
""",
    other="""
export const STOP = new Set<string>(['a', 'the']);

export function shorten(line: string): string {
  const at = line.indexOf('--');
  return at < 0 ? line : line.slice(0, at);
}
""",
    part=(
        """    if (amount > discount) {
      amount = amount - discount;
    }
    return amount * (1 + rate);
""",
        "    return this.finish(amount, rate, discount);\n",
    ),
    extracted="""
  finish(amount: number, rate: number, discount: number): number {
    if (amount > discount) {
      amount = amount - discount;
    }
    return amount * (1 + rate);
  }
""",
    parameters=(
        "total(rate: number, discount: number)",
        "total(rate: number, discount: number, strict?: boolean)",
        "total(rate: number)",
        "total(discount: number, rate: number)",
    ),
)

JAVA = Sample(
    path="shop/Basket.java",
    other_path="shop/Words.java",
    basket="""
class Basket {
    private final List<Item> items;

    Basket(List<Item> items) {
        this.items = items;
    }

    double total(double rate, double discount) {
        double amount = 0;
        for (Item item : items) {
            double price = item.price() * item.count();
            amount += price - item.rebate();
        }
        if (amount > discount) {
            amount = amount - discount;
        }
        return amount * (1 + rate);
    }

    Item heaviest() {
        Item found = Collections.max(items, Comparator.comparing(one -> one.weight()));
        log.info("the heaviest is {}", found.name());
        return found;
    }

}
""",
    clean="""
class Cleaner {
    static List<String> clean(String text, String marks) {
        List<String> words = Arrays.asList(text.split(","));
        Set<String> known = new TreeSet<>(words);
        known.removeIf(word -> word.isEmpty() || Words.STOP.contains(word));
        return new ArrayList<>(known);
    }
}
""",
    other="""
class Words {
    static final Set<String> STOP = Set.of("a", "the");

    static String shorten(String line) {
        int at = line.indexOf("--");
        return at < 0 ? line : line.substring(0, at);
    }
}
""",
    part=(
        """        if (amount > discount) {
            amount = amount - discount;
        }
        return amount * (1 + rate);
""",
        "        return finish(amount, rate, discount);\n",
    ),
    extracted="""
    double finish(double amount, double rate, double discount) {
        if (amount > discount) {
            amount = amount - discount;
        }
        return amount * (1 + rate);
    }
""",
    parameters=(
        "total(double rate, double discount)",
        "total(double rate, double discount, boolean strict)",
        "total(double rate)",
        "total(double discount, double rate)",
    ),
)

GO = Sample(
    path="shop/basket.go",
    other_path="shop/words.go",
    basket="""
package shop

type Basket struct {
	items []Item
	owner string
}

func (basket *Basket) total(rate float64, discount float64) float64 {
	amount := 0.0
	for _, item := range basket.items {
		price := item.price * item.count
		amount += price - item.rebate
	}
	if amount > discount {
		amount = amount - discount
	}
	return amount * (1 + rate)
}

func (basket *Basket) heaviest() Item {
	found := slices.MaxFunc(basket.items, func(one, other Item) int {
		return one.weight - other.weight
	})
	log.Printf("the heaviest is %s", found.name)
	return found
}

""",
    clean="""
func clean(text string, marks string) []string {
	words := strings.Split(strings.Trim(text, marks), ",")
	known := map[string]bool{}
	for _, word := range words {
		if word != "" && !stop[word] {
			known[word] = true
		}
	}
	return slices.Sorted(maps.Keys(known))
}
""",
    other="""
package shop

var stop = map[string]bool{"a": true, "the": true}

func shorten(line string) string {
	head, _, found := strings.Cut(line, "--")
	if found {
		return head
	}
	return line
}
""",
    part=(
        """	if amount > discount {
		amount = amount - discount
	}
	return amount * (1 + rate)
""",
        "	return basket.finish(amount, rate, discount)\n",
    ),
    extracted="""
func (basket *Basket) finish(amount float64, rate float64, discount float64) float64 {
	if amount > discount {
		amount = amount - discount
	}
	return amount * (1 + rate)
}
""",
    parameters=(
        "total(rate float64, discount float64)",
        "total(rate float64, discount float64, strict bool)",
        "total(rate float64)",
        "total(discount float64, rate float64)",
    ),
)

RUST = Sample(
    path="shop/basket.rs",
    other_path="shop/words.rs",
    basket="""
pub struct Basket {
    items: Vec<Item>,
    owner: String,
}

impl Basket {
    pub fn total(&self, rate: f64, discount: f64) -> f64 {
        let mut amount = 0.0;
        for item in &self.items {
            let price = item.price * item.count;
            amount += price - item.rebate;
        }
        if amount > discount {
            amount = amount - discount;
        }
        amount * (1.0 + rate)
    }

    fn heaviest(&self) -> &Item {
        let found = self.items.iter().max_by_key(|item| item.weight).unwrap();
        println!("the heaviest is {}", found.name);
        found
    }

}
""",
    clean="""
fn clean(text: &str, marks: &[char]) -> Vec<String> {
    let words: Vec<&str> = text.split(',').map(|word| word.trim_matches(marks)).collect();
    let mut known = BTreeSet::new();
    for word in words {
        if !word.is_empty() && !STOP.contains(&word) {
            known.insert(word.to_string());
        }
    }
    known.into_iter().collect()
}
""",
    other="""
const STOP: [&str; 2] = ["a", "the"];

fn shorten(line: &str) -> &str {
    match line.split_once("--") {
        Some((head, _)) => head,
        None => line,
    }
}
""",
    part=(
        """        if amount > discount {
            amount = amount - discount;
        }
        amount * (1.0 + rate)
""",
        "        self.finish(amount, rate, discount)\n",
    ),
    extracted="""
    fn finish(&self, mut amount: f64, rate: f64, discount: f64) -> f64 {
        if amount > discount {
            amount = amount - discount;
        }
        amount * (1.0 + rate)
    }
""",
    parameters=(
        "total(&self, rate: f64, discount: f64)",
        "total(&self, rate: f64, discount: f64, strict: bool)",
        "total(&self, rate: f64)",
        "total(&self, discount: f64, rate: f64)",
    ),
)

SAMPLES = {sample.path.rpartition(".")[2]: sample for sample in (PYTHON, JAVASCRIPT, TYPESCRIPT, JAVA, GO, RUST)}
LANGUAGES = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)

SCORED = (
    "Rename Class",
    "Move Class",
    "Rename Method",
    "Move Method",
    "Extract Method",
    "Inline Method",
    "Rename Parameter",
    "Rename Variable",
    "Add Parameter",
    "Remove Parameter",
    "Reorder Parameter",
)
"""Other types may come with these."""


def _detected(before: dict[str, str], after: dict[str, str], settings: RefactoringSettings) -> list[Refactoring]:
    return [refactoring for refactoring in detect(before, after, settings) if refactoring.type in SCORED]


def _keys(refactorings: list[Refactoring]) -> list[tuple[str | None, ...]]:
    return [
        (
            refactoring.type,
            refactoring.name_before,
            refactoring.name_after,
            refactoring.container_before,
            refactoring.container_after,
        )
        for refactoring in refactorings
    ]


def _replaced(sample: Sample, *words: tuple[str, str]) -> dict[str, str]:
    after = sample.before()
    for old, new in words:
        assert any(old in text for text in after.values()), old
        after = {path: text.replace(old, new) for path, text in after.items()}
    return after


@LANGUAGES
def test_same_code_has_no_refactorings(sample: Sample, settings: RefactoringSettings) -> None:
    assert detect(sample.before(), sample.before(), settings) == []
    reformatted = {path: text.replace("\n\n", "\n\n\n") for path, text in sample.before().items()}
    assert detect(sample.before(), reformatted, settings) == []


@LANGUAGES
def test_renamed_class(sample: Sample, settings: RefactoringSettings) -> None:
    refactorings = _detected(sample.before(), _replaced(sample, ("Basket", "Cart")), settings)
    assert _keys(refactorings) == [("Rename Class", "Basket", "Cart", None, None)]
    assert refactorings[0].purity == "pure"


@LANGUAGES
def test_renamed_method(sample: Sample, settings: RefactoringSettings) -> None:
    refactorings = _detected(sample.before(), _replaced(sample, ("heaviest(", "of_most_weight(")), settings)
    assert _keys(refactorings) == [("Rename Method", "heaviest", "of_most_weight", "Basket", "Basket")]
    assert refactorings[0].purity == "pure"


@LANGUAGES
def test_renamed_parameter(sample: Sample, settings: RefactoringSettings) -> None:
    refactorings = _detected(sample.before(), _replaced(sample, ("discount", "reduction")), settings)
    assert _keys(refactorings) == [("Rename Parameter", "discount", "reduction", "total", "total")]
    assert refactorings[0].purity == "pure"


@LANGUAGES
def test_renamed_variable(sample: Sample, settings: RefactoringSettings) -> None:
    refactorings = _detected(sample.before(), _replaced(sample, ("amount", "due")), settings)
    assert _keys(refactorings) == [("Rename Variable", "amount", "due", "total", "total")]
    assert refactorings[0].purity == "pure"
    line = next(number for number, text in enumerate(sample.basket.split("\n"), start=1) if "amount" in text)
    assert (refactorings[0].line_before, refactorings[0].line_after) == (line, line)


@LANGUAGES
def test_several_renames_at_once(sample: Sample, settings: RefactoringSettings) -> None:
    words = ("amount", "due"), ("price", "cost"), ("discount", "reduction"), ("total(", "owed(")
    refactorings = _detected(sample.before(), _replaced(sample, *words), settings)
    assert sorted(_keys(refactorings)) == [
        ("Rename Method", "total", "owed", "Basket", "Basket"),
        ("Rename Parameter", "discount", "reduction", "total", "owed"),
        ("Rename Variable", "amount", "due", "total", "owed"),
        ("Rename Variable", "price", "cost", "total", "owed"),
    ]


@LANGUAGES
def test_changed_parameters(sample: Sample, settings: RefactoringSettings) -> None:
    as_it_is, more, less, turned = sample.parameters
    added = _detected(sample.before(), _replaced(sample, (as_it_is, more)), settings)
    assert _keys(added) == [("Add Parameter", None, "strict", "total", "total")]
    assert added[0].purity == "pure"
    removed = _detected(sample.before(), _replaced(sample, (as_it_is, less)), settings)
    assert _keys(removed) == [("Remove Parameter", "discount", None, "total", "total")]
    reordered = _detected(sample.before(), _replaced(sample, (as_it_is, turned)), settings)
    assert _keys(reordered) == [("Reorder Parameter", "rate, discount", "discount, rate", "total", "total")]


@LANGUAGES
def test_extracted_and_inlined_method(sample: Sample, settings: RefactoringSettings) -> None:
    gap = sample.basket.rindex("\n\n")
    if sample is GO:
        with_method = sample.basket + sample.extracted
    else:
        with_method = sample.basket[:gap] + "\n" + sample.extracted + sample.basket[gap + 1 :]
    after = sample.before() | {sample.path: with_method.replace(*sample.part, 1) + sample.clean}
    extracted = _detected(sample.before(), after, settings)
    assert _keys(extracted) == [("Extract Method", None, "finish", "total", "total")]
    assert extracted[0].purity == "pure"
    assert "finish(amount, rate, discount)" in extracted[0].code_after
    inlined = _detected(after, sample.before(), settings)
    assert _keys(inlined) == [("Inline Method", "finish", None, "total", "total")]
    assert inlined[0].purity == "pure"


@LANGUAGES
def test_moved_class_and_method(sample: Sample, settings: RefactoringSettings) -> None:
    before = sample.before()
    head = "\npackage shop\n" if sample is GO else ""
    basket = sample.basket.removeprefix(head)
    after = {sample.path: head + sample.clean, sample.other_path: sample.other + basket}
    refactorings = _detected(before, after, settings)
    assert _keys(refactorings) == [("Move Class", "Basket", "Basket", None, None)]
    assert (refactorings[0].path_before, refactorings[0].path_after) == (sample.path, sample.other_path)
    assert refactorings[0].purity == "pure"
    if sample is JAVA:
        return  # a function of Java does not stand alone
    after = {sample.path: sample.basket, sample.other_path: sample.other + sample.clean}
    refactorings = _detected(before, after, settings)
    assert _keys(refactorings) == [("Move Method", "clean", "clean", None, None)]
    assert refactorings[0].purity == "pure"


@LANGUAGES
def test_a_renamed_file_is_followed(sample: Sample, settings: RefactoringSettings) -> None:
    path = sample.path.replace("basket", "cart").replace("Basket", "Cart")
    after = _replaced(sample, ("amount", "due"))
    after[path] = after.pop(sample.path)
    classes = 2 if sample is JAVA else 1
    refactorings = _detected(sample.before(), after, settings)
    assert [refactoring.type for refactoring in refactorings].count("Move Class") == classes
    assert ("Rename Variable", "amount", "due", "total", "total") in _keys(refactorings)
    assert len(refactorings) == classes + 1


@LANGUAGES
def test_a_change_of_behaviour_makes_it_mixed(sample: Sample, settings: RefactoringSettings) -> None:
    after = _replaced(sample, ("amount", "due"), ("due > discount", "due >= discount"))
    refactorings = _detected(sample.before(), after, settings)
    assert _keys(refactorings) == [("Rename Variable", "amount", "due", "total", "total")]
    assert refactorings[0].purity == "mixed"


@LANGUAGES
def test_new_code_is_no_refactoring(sample: Sample, settings: RefactoringSettings) -> None:
    less = sample.before() | {sample.path: sample.basket}
    assert _detected(less, sample.before(), settings) == []
    assert _detected(sample.before(), less, settings) == []
    assert _detected({}, sample.before(), settings) == []
