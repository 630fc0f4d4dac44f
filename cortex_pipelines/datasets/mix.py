"""The mix: which shares of a data set's rows each language, and product and test code, should have in every split."""

from collections.abc import Collection, Mapping
from math import ceil, fsum, log2

import polars as pl

from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.datasets.settings import DatasetSettings, MixSettings
from cortex_pipelines.extraction.test_cases import TEST_PATH

Mix = Mapping[tuple[str, bool], float]
"""Share of rows by language and whether it is test code; the shares add up to 1."""

_FEWEST_PRODUCT = 0.05
"""Below this share of product rows the project is its tests, and they are not capped."""
_FEWEST_ROWS = 10
"""A language with fewer rows in train would reduce all others to less than two hundred."""
_MARGIN = 1.1
"""For what rounding and variants of other languages take of a language's least share."""
HELD_OUT_TOLERANCE = 0.03
"""Share of a held-out split's rows that may be missing where a stratum has too few."""
FEWEST_HELD_OUT = 200
"""A split of fewer rows takes all it can get, as near to the mix as it comes."""


def with_tests(rows: pl.DataFrame, tests_beside_code: Collection[str] = ()) -> pl.DataFrame:
    """The rows with ``test``: whether one is test code, by its path or since its unit is in ``tests_beside_code``."""
    is_test = pl.col("path").fill_null("").str.contains(TEST_PATH)
    if tests_beside_code and "unit_id" in rows.columns:
        is_test |= pl.col("unit_id").is_in(sorted(tests_beside_code)).fill_null(False)
    return rows.with_columns(is_test.alias("test"))


def strata(rows: pl.DataFrame) -> pl.DataFrame:
    """Columns ``language``, ``test`` (of ``with_tests``, else by path), and ``bytes`` of a row's texts."""
    return (rows if "test" in rows.columns else with_tests(rows)).select(
        *("language", "test"), (pl.col("prompt").str.len_bytes() + pl.col("completion").str.len_bytes()).alias("bytes")
    )


def distance(rows: pl.DataFrame, other: pl.DataFrame) -> float:
    """Jensen–Shannon divergence of two splits' shares of languages and test code, in bits; 0 if either is empty."""
    shares = []
    for frame in (rows, other):
        counts = strata(frame).group_by("language", "test").len().iter_rows()
        shares.append({(language, test): count / frame.height for language, test, count in counts})
    total = 0.0
    for stratum in sorted(shares[0].keys() | shares[1].keys(), key=str) if all(shares) else ():
        p, q = (of_split.get(stratum, 0.0) for of_split in shares)
        total += fsum(share * log2(2 * share / (p + q)) / 2 for share in (p, q) if share)
    return total


def target_mix(train: pl.DataFrame, taught_languages: Collection[str], settings: DatasetSettings) -> Mix:
    """The mix to aim at, from the rows that train could have.

    Tests have at most ``mix.max_test_share`` of the rows and of their bytes. Under ``max_train``, shares of languages
    are tempered (``mix.temperature``); each of ``taught_languages`` has at least ``mix.min_language_share``, for
    which the others give way.
    """
    mix = settings.mix
    counts = strata(train).group_by("language", "test").agg(pl.len(), pl.col("bytes").sum())
    rows = {(language, test): (count, size) for language, test, count, size in counts.iter_rows()}
    product, tests = (
        tuple(sum(sums[at] for (_, is_test), sums in rows.items() if is_test == test) for at in (0, 1))
        for test in (False, True)
    )
    allowed = mix.max_test_share / (1 - mix.max_test_share)
    share_of_tests = 1.0
    if tests[0] and product[0] > _FEWEST_PRODUCT * (product[0] + tests[0]):
        share_of_tests = min(1.0, allowed * product[0] / tests[0], allowed * product[1] / tests[1])
    available = {stratum: count * (share_of_tests if stratum[1] else 1.0) for stratum, (count, _) in rows.items()}
    by_language: dict[str, float] = {}
    for (language, _), count in sorted(available.items()):
        by_language[language] = by_language.get(language, 0.0) + count
    quotas = _language_quotas(by_language, taught_languages, settings.max_train, mix)
    total = fsum(quotas.values()) or 1.0
    return {
        (language, test): count / by_language[language] * quotas[language] / total
        for (language, test), count in sorted(available.items())
        if by_language[language]
    }


def most_variants(train: pl.DataFrame, taught_languages: Collection[str], settings: DatasetSettings) -> int:
    """How many variants may join the original rows of train, so that no language falls below its least share."""
    share = settings.max_augmented_share
    bounds = [int(train.height * share / (1 - share))]
    if settings.max_train is not None:
        bounds.append(settings.max_train - train.height)
    for language, count in train.group_by("language").len().iter_rows() if settings.mix.min_language_share else ():
        if language in taught_languages and count >= settings.mix.min_language_share * train.height:
            bounds.append(int(count / settings.mix.min_language_share) - train.height)
    return max(min(bounds), 0)


def sample(
    rows: pl.DataFrame,
    mix: Mix,
    limit: int | None,
    split: str,
    settings: DatasetSettings,
    fewest: int = 0,
    tolerance: float = 0.0,
) -> pl.DataFrame:
    """Sample rows by the mix: as many as it allows or at least ``fewest``, at most ``limit``.

    A share ``tolerance`` of them may be missing in strata with too few.

    The rows of a stratum are chosen by the hash of their ids, in train together with their weight: priority sampling
    (Duffield, Lund and Thorup 2007), in which only one division depends on the machine's floats.
    """
    ids = rows["example_id"].to_list()
    weights = rows["weight"].to_list() if split == "train" else [1.0] * rows.height
    priorities = [
        weight / ((draw(settings.seed, "sample", row_id) + 1) / 2**64)
        for row_id, weight in zip(ids, weights, strict=True)
    ]
    ranked = (
        rows.select("example_id")
        .hstack(strata(rows))
        .with_columns(pl.Series("priority", priorities, dtype=pl.Float64))
        .sort("priority", "example_id", descending=[True, False])
    )
    sizes = {(language, test): size for language, test, size in ranked.group_by("language", "test").len().iter_rows()}
    all_strata = {stratum: mix.get(stratum, 0.0) for stratum in sorted(mix.keys() | sizes.keys())}
    quotas = _row_quotas(all_strata, sizes, limit, fewest, tolerance)
    schema = {"language": pl.String, "test": pl.Boolean, "quota": pl.Int64}
    of_strata = pl.DataFrame([(*stratum, quota) for stratum, quota in quotas.items()], schema=schema, orient="row")
    with_quota = ranked.join(of_strata, on=["language", "test"], how="left", nulls_equal=True, maintain_order="left")
    sampled = with_quota.filter(pl.int_range(pl.len()).over("language", "test") < pl.col("quota"))
    return rows.join(sampled.select("example_id"), on="example_id", how="semi", maintain_order="left")


def _language_quotas(
    available: Mapping[str, float], taught_languages: Collection[str], limit: int | None, mix: MixSettings
) -> dict[str, float]:
    total = fsum(available.values())
    floors = {
        language: _MARGIN * mix.min_language_share
        for language, count in available.items()
        if language in taught_languages and count >= _FEWEST_ROWS and mix.min_language_share
    }
    size = min([total, *([limit] if limit is not None else []), *(available[name] / floors[name] for name in floors)])
    weights = {language: round(count**mix.temperature, 6) for language, count in available.items()}
    quotas = {language: min(floors.get(language, 0.0) * size, count) for language, count in available.items()}
    # fill up in proportion to the weights; what a small language does not have goes to the others
    while (missing := size - fsum(quotas.values())) > 1e-6 * size:
        open_languages = {name: weights[name] for name, count in available.items() if quotas[name] < count}
        shares = fsum(open_languages.values())
        for language, weight in open_languages.items():
            quotas[language] = min(available[language], quotas[language] + missing * weight / shares)
    return quotas


def _row_quotas(
    mix: Mix, sizes: Mapping[tuple[str, bool], int], limit: int | None, fewest: int, tolerance: float
) -> dict[tuple[str, bool], int]:
    """Rows of each stratum for the largest sample in which few are missing."""

    def fits(size: int) -> bool:
        missing = fsum(max(0.0, share * size - sizes.get(stratum, 0)) for stratum, share in mix.items())
        return size <= fewest or missing <= tolerance * size + 1e-6

    low, high = 0, sum(sizes.get(stratum, 0) for stratum in mix)
    high = high if limit is None else max(min(limit, high), 0)
    while low < high:
        middle = ceil((low + high) / 2)
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    tests = round(fsum(share for (_, is_test), share in mix.items() if is_test), 9)
    product_quotas = _allot(
        {stratum: share for stratum, share in mix.items() if not stratum[1]}, sizes, (1 - tests) * low
    )
    most_tests = sum(product_quotas.values()) * tests / (1 - tests) if tests < 1 else low
    test_quotas = _allot({stratum: share for stratum, share in mix.items() if stratum[1]}, sizes, most_tests)
    return product_quotas | test_quotas


def _allot(mix: Mix, sizes: Mapping[tuple[str, bool], int], total: float) -> dict[tuple[str, bool], int]:
    """Allot rows to strata by their shares; what one does not have goes to those furthest below their share."""
    # rounded, so that the order of a sum does not decide
    wanted = {stratum: round(share * total / (fsum(mix.values()) or 1.0), 6) for stratum, share in mix.items()}
    quotas = {stratum: min(int(count), sizes.get(stratum, 0)) for stratum, count in wanted.items()}
    while sum(quotas.values()) < round(total):
        open_strata = [stratum for stratum in mix if quotas[stratum] < sizes.get(stratum, 0)]
        if not open_strata:
            break
        quotas[max(open_strata, key=lambda stratum: (wanted[stratum] - quotas[stratum], stratum))] += 1
    return quotas
