"""Texts of any language are split into words that compare equal where a reader finds them equal."""

import pytest

from cortex_pipelines.retrieval.queries import query_terms, terms
from cortex_pipelines.routing.dataset.labels import normalised
from cortex_pipelines.words import (
    fold,
    folded_words,
    is_name,
    parts_of_word,
    split_name,
    split_words,
    unseparated_words,
    whole_word,
    word_count,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("getUserByName", "get user by name"),
        ("HTTPServer2", "http server 2"),
        ("snake_case a.b Node.js", "snake case a b node js"),
        ("读取用户的配置文件", "读取 取用 用户 户的 的配 配置 置文 文件"),
        ("ユーザーの設定", "ユー ーザ ザー ーの の設 設定"),
        ("ﾕｰｻﾞｰ", "ユー ーザ ザー"),
        ("カ\u3099ス", "ガス"),
        ("사용자 설정", "사용 용자 설정"),
        ("配", "配"),
        ("Python3の設定", "python 3 の設 設定"),
        ("用C++写，版本v3.12", "用 cplusplus 写 版本 v 3 12"),
        ("ＦｕｌｌＷｉｄｔｈ１", "full width 1"),
        ("การตั้งค่า", "กา าร รตั้ ตั้ง งค่ ค่า"),
        ("हिन्दी भाषा", "हिन्दी भाषा"),
        ("كِتَاب الأحمد", "كتاب الاحمد"),
        ("получитьДанные ЁЛКА йод", "получить данные елка йод"),
        ("größeBerechnen STRASSE straße", "grosse berechnen strasse strasse"),
        ("cafe\u0301 café CAFÉ", "cafe cafe cafe"),
        ("İstanbul ısı ISI", "istanbul isi isi"),
        ("ΟΔΥΣΣΕΥΣ Οδυσσεύς", "οδυσσευσ οδυσσευσ"),
        ("C C++ C# F# .NET ASP.NET c++17 R Go", "c cplusplus csharp fsharp dotnet asp dotnet "
         "cplusplus 17 r go"),
        ("for (c = 0; c < n; c++) i++; # net", "for c 0 c n c i net"),
        ("example.net file.c#L10", "example net file c l 10"),
        ("1_000 v1.2.3 ١٢٣ ²", "1000 v 1 2 3 123 2"),
        ("🎉 emoji ❤️ 1️⃣ Java™ ℹ️", "emoji 1 java"),
        ("zero\u200dwidth soft\u00adhyphen", "zerowidth softhyphen"),
    ],
)  # fmt: skip
def test_a_text_is_split_into_folded_parts(text: str, parts: str) -> None:
    assert [part for word in split_words(text) for part in parts_of_word(word)] == parts.split()


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Fix getUserByName, please", "fix getuserbyname please"),
        ("snake_case v3.12", "snake_case v3.12"),
        ("修复C#解析器与.NET在1.2.3版", "修复 csharp 解析 析器 器与 dotnet 在 1.2.3 版"),
        ("naïveBayes", "naivebayes"),
    ],
)
def test_whole_words_are_folded_and_not_split_at_their_humps(text: str, folded: str) -> None:
    assert folded_words(text) == folded.split()


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("配置", "读取用户的配置文件"),
        ("配", "读取用户的配置文件"),
        ("設定", "Python3の設定を読み込む"),
        ("ユーザー", "ﾕｰｻﾞｰ一覧"),
        ("данные", "получитьДанные"),
        ("cafes", "cafe\u0301"),
        ("1.2.3", "needs pip v1.2.3 or later"),
        ("getUserByName", "def getUserByName(): ..."),
        ("c++", "parses C++ headers"),
    ],
)
def test_what_a_query_looks_for_is_in_the_terms_of_a_text(query: str, text: str) -> None:
    assert set(query_terms(query)) <= set(terms(text))


@pytest.mark.parametrize(
    ("query", "text"), [("置配", "读取用户的配置文件"), ("C", "C++ and C#"), ("net", "ASP.NET"), ("1.2.3", "3.2.1")]
)
def test_what_is_another_word_is_not(query: str, text: str) -> None:
    assert not set(query_terms(query)) <= set(terms(text))


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ("Fix the C parser", "fix the c parser!", True),
        ("Fix the C parser", "Fix the C++ parser", False),
        ("Fix the C++ parser", "Fix the C# parser", False),
        ("Prüfe die Gro\u0308ße", "prüfe die größe.", True),
        ("修复登录页面", "修复登录页面。", True),
        ("修复登录页面", "修复注册页面", False),
        ("Set the my_flag option", "set the my flag option", True),
    ],
)
def test_equal_words_are_the_same_task(first: str, second: str, equal: bool) -> None:
    assert (normalised(first) == normalised(second)) is equal


@pytest.mark.parametrize(
    ("word", "text", "occurs"),
    [
        ("add", "adds a test", True),
        ("add", "the address", False),
        ("配置", "读取配置文件", True),
        ("Python", "用Python写的", True),
        ("C", "rewrite the C++ part", False),
        ("C", "rewrite the C part", True),
        ("C#", "a C# client", True),
        ("überprüfen", "U\u0308BERPRÜFEN", True),
        ("net", "the .NET client", False),
    ],
)
def test_a_keyword_is_found_as_a_whole_word(word: str, text: str, occurs: bool) -> None:
    assert (whole_word(word, "s|es|d|ed|ing").search(fold(text)) is not None) is occurs


@pytest.mark.parametrize(
    ("text", "count", "more"),
    [("a b-c", 3, 0), ("读取用户的配置文件", 5, 4), ("Python3の設定", 3, 1), ("größe é", 2, 0)],
)
def test_two_characters_count_as_a_word_where_no_spaces_are(text: str, count: int, more: int) -> None:
    assert (word_count(text), unseparated_words(text)) == (count, more)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("获取用户", True),
        ("übersicht", True),
        ("u\u0308bersicht", True),
        ("пакет.получить", True),
        ("std::vec", True),
        ("$scope", True),
        ("हिन्दी", True),
        ("two words", False),
        ("3d", False),
        ("a..b", False),
        ("", False),
    ],
)
def test_names_are_told_from_other_queries(text: str, is_one: bool) -> None:
    assert is_name(text) is is_one


@pytest.mark.parametrize(
    ("name", "parts"),
    [("getHTTPUrl", "get HTTP Url"), ("größeBerechnen", "größe Berechnen"), ("获取User", "获取 User")],
)
def test_a_name_is_split_as_it_is_written(name: str, parts: str) -> None:
    assert split_name(name) == parts.split()
