"""What imports of six languages lead to."""

from collections.abc import Callable

import pytest

Chosen = Callable[..., set[tuple[str, ...]]]

PYTHON = {
    "src/shop/__init__.py": "",
    "src/shop/cart.py": (
        "import os.path, json as j\n"
        "import numpy.linalg\n"
        "from . import prices\n"
        "from .prices import total\n"
        "from ..nowhere import thing\n"
        "from shop import stock, missing\n"
        "from shop.built import made\n"
        "from __future__ import annotations\n"
        "def late():\n    from shop.stock import count\n"
    ),
    "src/shop/prices.py": "import types\n",
    "src/shop/stock/__init__.py": "",
    "src/shop/types.py": "",
    "tests/test_cart.py": "import shop.cart\nfrom shop.prices import *\nimport helpers_here\n",
    "tests/helpers_here.py": "",
}
TYPESCRIPT = {
    "package.json": '{"name": "root", "workspaces": ["packages/*"]}',
    "tsconfig.json": (
        '{ // aliases\n "compilerOptions": {"baseUrl": ".", "paths": {"@lib/*": ["packages/core/src/*"],}, },}'
    ),
    "packages/core/package.json": '{"name": "@acme/core", "main": "./src/index.ts"}',
    "packages/core/src/index.ts": "export * from './money'\nexport { a } from \"./deep\";\n",
    "packages/core/src/money.ts": "import fs from 'node:fs/promises';\nimport {join} from 'path'\n",
    "packages/core/src/deep/index.tsx": "const x = await import('./part.js')\n",
    "packages/core/src/deep/part.ts": "",
    "packages/web/src/main.js": (
        "import React, { useState as state } from 'react'\n"
        "import { money } from '@acme/core'\n"
        "import m from '@lib/money'\n"
        "import x from '@acme/ui/button'\n"
        "const { a } = require('../lost')\n"
        "const style = require(`./local`)\n"
    ),
    "packages/web/src/local.jsx": "import type { T } from '@/main'\n",
    "packages/web/package.json": '{"name": "web", "imports": {"#own": "./src/local.jsx"}}',
    "packages/web/src/own.ts": "import own from '#own'\nimport legacy = require('./main')\n",
}
JAVA = {
    "app/src/org/acme/shop/Cart.java": (
        "package org.acme.shop;\nimport java.util.List;\nimport javax.persistence.Id;\n"
        "import javax.sql.DataSource;\nimport org.acme.money.Price;\n"
        "import static org.acme.money.Price.ZERO;\nimport org.acme.money.*;\n"
        "import org.acme.money.Price.Kind;\nimport org.junit.jupiter.api.Test;\nclass Cart {}\n"
    ),
    "lib/src/org/acme/money/Price.java": "package org.acme.money;\npublic class Price {}\n",
}
GO = {
    "go.mod": "module example.org/shop\n\ngo 1.22\n\nrequire (\n\tgithub.com/gin-gonic/gin v1.9.1\n"
    "\tgolang.org/x/sync v0.1.0 // indirect\n)\nrequire github.com/a/b/v2 v2.0.0\n",
    "main.go": (
        'package main\n\nimport (\n\t"fmt"\n\t"net/http"\n\tst "example.org/shop/store"\n'
        '\t_ "github.com/gin-gonic/gin/binding"\n\t"example.org/shop/gone"\n'
        '\t"github.com/x/y/z/w"\n)\n'
    ),
    "store/store.go": 'package store\n\nimport "example.org/shop/store/disk"\n',
    "store/disk/disk.go": "package disk\n",
}
RUST = {
    "Cargo.toml": '[workspace]\nmembers = ["core-lib", "app"]\n',
    "core-lib/Cargo.toml": '[package]\nname = "core-lib"\ndescription = "Shared things"\n',
    "core-lib/src/lib.rs": "pub mod money;\npub mod shapes;\nmod tests { mod inner {} }\n",
    "core-lib/src/money.rs": "use std::{fmt, collections::HashMap};\nuse super::shapes::Circle;\n",
    "core-lib/src/shapes/mod.rs": "mod circle;\nuse self::circle::Circle;\nuse crate::money::*;\n",
    "core-lib/src/shapes/circle.rs": "enum Kind { A }\nuse Kind::A;\n",
    "app/Cargo.toml": '[package]\nname = "app"\n[dependencies]\ncore-lib = {path = "../core-lib"}\n',
    "app/src/main.rs": (
        "extern crate serde;\nmod config;\nuse config::Settings as S;\n"
        "use core_lib::money::Price;\n"
        "use tokio::sync::{mpsc, oneshot};\nuse crate::config;\n"
    ),
    "app/src/config.rs": "",
}
CASES = {
    "python": (
        PYTHON,
        {
            ("src/shop/cart.py", "os", "standard"),
            ("src/shop/cart.py", "json", "standard"),
            ("src/shop/cart.py", "numpy", "external"),
            ("src/shop/cart.py", "src/shop/prices.py", "internal"),
            ("src/shop/cart.py", "..nowhere", "unresolved"),
            ("src/shop/cart.py", "src/shop/stock/__init__.py", "internal"),
            ("src/shop/cart.py", "src/shop/__init__.py", "internal"),
            ("src/shop/cart.py", "shop.built", "unresolved"),
            ("src/shop/prices.py", "types", "standard"),
            ("tests/test_cart.py", "src/shop/cart.py", "internal"),
            ("tests/test_cart.py", "src/shop/prices.py", "internal"),
            ("tests/test_cart.py", "tests/helpers_here.py", "internal"),
        },
    ),
    "typescript": (
        TYPESCRIPT,
        {
            ("packages/core/src/index.ts", "packages/core/src/money.ts", "internal"),
            ("packages/core/src/index.ts", "packages/core/src/deep/index.tsx", "internal"),
            ("packages/core/src/money.ts", "fs/promises", "standard"),
            ("packages/core/src/money.ts", "path", "standard"),
            ("packages/core/src/deep/index.tsx", "packages/core/src/deep/part.ts", "internal"),
            ("packages/web/src/main.js", "react", "external"),
            ("packages/web/src/main.js", "packages/core/src/index.ts", "internal"),
            ("packages/web/src/main.js", "packages/core/src/money.ts", "internal"),
            ("packages/web/src/main.js", "@acme/ui", "external"),
            ("packages/web/src/main.js", "../lost", "unresolved"),
            ("packages/web/src/main.js", "packages/web/src/local.jsx", "internal"),
            ("packages/web/src/local.jsx", "packages/web/src/main.js", "internal"),
            ("packages/web/src/own.ts", "packages/web/src/local.jsx", "internal"),
            ("packages/web/src/own.ts", "packages/web/src/main.js", "internal"),
        },
    ),
    "java": (
        JAVA,
        {
            ("app/src/org/acme/shop/Cart.java", "java.util", "standard"),
            ("app/src/org/acme/shop/Cart.java", "javax.persistence", "external"),
            ("app/src/org/acme/shop/Cart.java", "javax.sql", "standard"),
            ("app/src/org/acme/shop/Cart.java", "lib/src/org/acme/money/Price.java", "internal"),
            ("app/src/org/acme/shop/Cart.java", "lib/src/org/acme/money", "internal"),
            ("app/src/org/acme/shop/Cart.java", "org.junit.jupiter.api", "external"),
        },
    ),
    "go": (
        GO,
        {
            ("main.go", "fmt", "standard"),
            ("main.go", "net/http", "standard"),
            ("main.go", "store", "internal"),
            ("main.go", "github.com/gin-gonic/gin", "external"),
            ("main.go", "example.org/shop/gone", "unresolved"),
            ("main.go", "github.com/x/y", "external"),
            ("store/store.go", "store/disk", "internal"),
        },
    ),
    "rust": (
        RUST,
        {
            ("core-lib/src/lib.rs", "core-lib/src/money.rs", "internal"),
            ("core-lib/src/lib.rs", "core-lib/src/shapes/mod.rs", "internal"),
            ("core-lib/src/money.rs", "std", "standard"),
            ("core-lib/src/money.rs", "core-lib/src/shapes/mod.rs", "internal"),
            ("core-lib/src/shapes/mod.rs", "core-lib/src/shapes/circle.rs", "internal"),
            ("core-lib/src/shapes/mod.rs", "core-lib/src/money.rs", "internal"),
            ("app/src/main.rs", "serde", "external"),
            ("app/src/main.rs", "app/src/config.rs", "internal"),
            ("app/src/main.rs", "core-lib/src/money.rs", "internal"),
            ("app/src/main.rs", "tokio", "external"),
        },
    ),
}


@pytest.mark.parametrize("language", CASES)
def test_imports_lead_to_files_packages_and_the_standard_library(triples: Chosen, language: str) -> None:
    texts, expected = CASES[language]
    assert triples(texts, "module-dependency", "subject", "object", "scope") == expected


def test_stand_ins_of_the_documentation_are_imported_by_the_documentation_alone(triples: Chosen) -> None:
    texts = {
        "doc/java/__init__.py": "",
        "doc/java/lang.py": "class String: ...\n",
        "doc/build.py": "import java.lang\n",
        "src/app/__init__.py": "",
        "src/app/jvm.py": "from java.lang import String\nimport java.util\n",
    }
    assert triples(texts, "module-dependency", "subject", "object", "scope") == {
        ("doc/build.py", "doc/java/lang.py", "internal"),
        ("src/app/jvm.py", "java", "external"),
    }


def test_an_import_names_its_exact_lines(triples: Chosen) -> None:
    texts = {"a.py": "import os\nfrom b import (\n    one,\n    two,\n)\n", "b.py": ""}
    lines = triples(texts, "module-dependency", "object", "start_line", "end_line", "evidence")
    evidence = "from b import (\n    one,\n    two,\n)"
    assert lines == {("os", 1, 1, "import os"), ("b.py", 2, 5, evidence)}  # type: ignore[comparison-overlap]


def test_of_two_projects_with_the_same_names_the_nearer_is_meant(triples: Chosen) -> None:
    texts = {
        f"{name}/src/org/acme/{file}.java": f"package org.acme;\n{line}class {file} {{}}\n"
        for name in ("one", "two")
        for file, line in (("Price", ""), ("Cart", "import org.acme.Price;\n"))
    }
    assert triples(texts, "module-dependency", "subject", "object") == {
        ("one/src/org/acme/Cart.java", "one/src/org/acme/Price.java"),
        ("two/src/org/acme/Cart.java", "two/src/org/acme/Price.java"),
    }


def test_a_module_says_what_it_declares_and_is_for(triples: Chosen) -> None:
    texts = {
        "desk.py": '#!/usr/bin/env python\n"""Orders that wait."""\n\nclass Desk: ...\n'
        "def take(): ...\ndef _own(): ...\n",
        "desk.go": "// Copyright 2020 Somebody\n\n// Package desk takes orders.\npackage desk\n\nfunc Take() {}\n",
        "desk.rs": "//! Orders that wait,\n//! in a queue.\npub struct Desk;\n",
        "desk.ts": "/**\n * Orders that wait.\n */\nimport a from 'a'\nexport class Desk {}\n",
        "Desk.java": "/* Orders that wait here. */\npackage desk;\nclass Desk {}\n",
        "plain.js": "// says what foo is for\nfunction foo() {}\n",
    }
    assert triples(texts, "module", "subject", "object", "description", "description_source") == {
        ("desk.py", "Desk, take", "Orders that wait.", "docstring"),
        ("desk.go", "Take", "Package desk takes orders.", "comment"),
        ("desk.rs", "Desk", "Orders that wait, in a queue.", "comment"),
        ("desk.ts", "Desk", "Orders that wait.", "comment"),
        ("Desk.java", "Desk", "Orders that wait here.", "comment"),
        ("plain.js", "foo", None, None),  # type: ignore[arg-type]
    }
