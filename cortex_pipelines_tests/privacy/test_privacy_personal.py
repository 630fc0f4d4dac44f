import pytest

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.settings import PrivacySettings

FOUND = [
    ("mail jane.roe@acmecorp.com now", "email", "jane.roe@acmecorp.com"),
    ("<a href='mailto:kai@uni-bonn.de'>", "email", "kai@uni-bonn.de"),
    ("host: 93.184.216.34:80", "ipv4", "93.184.216.34"),
    ("2a00:1450:4001:81b::200e", "ipv6", "2a00:1450:4001:81b::200e"),
    ("call +49 30 901820", "phone", "+49 30 901820"),
    ("call (415) 867-5309", "phone", "(415) 867-5309"),
    ("# Author: Ada Lovelace", "name", "Ada Lovelace"),
    (" * @author José Ángel Núñez", "name", "José Ángel Núñez"),
    ("Copyright (c) 2010-2020 Ludwig van Beethoven.", "name", "Ludwig van Beethoven"),
    ("Signed-off-by: Grace Hopper <>", "name", "Grace Hopper"),
    ('"author": "Jean-Luc Picard",', "name", "Jean-Luc Picard"),
    ("__author__ = 'Margaret Hamilton'", "name", "Margaret Hamilton"),
    ("__author__ = ['Ada Lovelace', 'Joan Clarke']", "name", "Joan Clarke"),
    ("Authors: Ada Lovelace, Joan Clarke", "name", "Joan Clarke"),
    ("# Author: Ada Lovelace and Joan Clarke", "name", "Joan Clarke"),
    (" * @author ada42", "name", "ada42"),
    ("# originally written by Ada Lovelace in 1843", "name", "Ada Lovelace"),
    ("  Contributed by Ada Lovelace.", "name", "Ada Lovelace"),
    ("Merged-by: Ada Lovelace", "name", "Ada Lovelace"),
    ("* Ada Lovelace <ada@corp.de>", "name", "Ada Lovelace"),
    ("Cc: Ada Lovelace", "name", "Ada Lovelace"),
    ('LABEL maintainer="Ada Lovelace"', "name", "Ada Lovelace"),
    ("<author>Ada Lovelace</author>", "name", "Ada Lovelace"),
    ("\\author{Ada Lovelace}", "name", "Ada Lovelace"),
    ("copyright = '2020, Ada Lovelace'", "name", "Ada Lovelace"),
    ("SPDX-FileCopyrightText: 2020 Ada Lovelace", "name", "Ada Lovelace"),
    ("# Author: Иван Петров", "name", "Иван Петров"),
    ("Signed-off-by: 王小明 <>", "name", "王小明"),
    ("作者：王小明", "name", "王小明"),
    ("@author 홍길동", "name", "홍길동"),
    ("# TODO(adal): later", "name", "adal"),
    ("// FIXME(ada.love): now", "name", "ada.love"),
    ("mail: ada&#64;corp.de", "email", "ada&#64;corp.de"),
]
PASSED_OVER = [
    "git@github.com:acme/tools.git",
    "noreply@github.com",
    "user@example.com",
    "@app.route('/')\n@pytest.fixture",
    "y = a@b.shape",
    "icon@2x.png",
    "npm i pkg@1.2.3",
    "127.0.0.1 10.0.0.1 192.168.1.1 172.16.0.1 169.254.169.254 198.51.100.7 255.255.255.0",
    "256.256.256.256 1.2.3 1.2.3.4.5.6",
    "version 1.2.3.4",
    "Chrome/91.0.4472.124",
    "x[0::2], y[::-1], std::vec::Vec, 12:34:56, a::b",
    "2001:db8::1 ::1 fe80::1",
    "call 202-555-0143",
    "2020-12-10 1234567890123456",
    "Copyright 2019 Google LLC",
    "Copyright (c) The Django Project Developers",
    "author = models.ForeignKey(User)",
    "@author",
    "Author-email: Python Packaging Authority <authority@example.org>",
    "# TODO(perf): faster",
    "# TODO(parser): rewrite\ndef parser(): ...",
    "# TODO(#12): x, TODO(b/34), TODO(1.10)",
]


@pytest.mark.parametrize(("text", "rule", "value"), FOUND)
def test_personal_data_is_found(text: str, rule: str, value: str, settings: PrivacySettings) -> None:
    values = [(s.rule, text[s.start : s.end]) for s in spans_of(text, "a", settings)]
    assert (rule, value) in values


@pytest.mark.parametrize("text", PASSED_OVER)
def test_what_belongs_to_nobody_is_passed_over(text: str, settings: PrivacySettings) -> None:
    assert spans_of(text, "a", settings) == []
