"""Technologies by the beginnings of module names: weak labels, from a table."""

import re
from collections.abc import Iterable

# Technology to the beginnings of module names; a module matches a beginning at a border.
_BY_LANGUAGE: dict[str, dict[str, str]] = {
    "python": {
        "aiohttp": "aiohttp",
        "airflow": "airflow",
        "anthropic": "anthropic",
        "argparse": "argparse",
        "asyncio": "asyncio",
        "aws": "boto3 botocore",
        "attrs": "attr attrs",
        "beautifulsoup": "bs4",
        "celery": "celery",
        "click": "click",
        "cryptography": "cryptography nacl Crypto",
        "dagster": "dagster",
        "django": "django rest_framework",
        "docker": "docker",
        "dvc": "dvc",
        "fastapi": "fastapi starlette",
        "flask": "flask werkzeug",
        "elasticsearch": "elasticsearch",
        "google-cloud": "google.cloud",
        "graphql": "graphene strawberry ariadne",
        "grpc": "grpc",
        "httpx": "httpx",
        "hypothesis": "hypothesis",
        "itsdangerous": "itsdangerous",
        "jinja": "jinja2",
        "jwt": "jwt jose",
        "kafka": "kafka confluent_kafka",
        "kubernetes": "kubernetes",
        "matplotlib": "matplotlib seaborn",
        "mlflow": "mlflow",
        "mongodb": "pymongo motor mongoengine",
        "mysql": "pymysql MySQLdb mysql",
        "multiprocessing": "multiprocessing concurrent",
        "numpy": "numpy",
        "openai": "openai",
        "opencv": "cv2",
        "opentelemetry": "opentelemetry",
        "pillow": "PIL",
        "pandas": "pandas",
        "polars": "polars",
        "postgresql": "psycopg psycopg2 asyncpg",
        "pyarrow": "pyarrow",
        "pydantic": "pydantic",
        "pytest": "pytest _pytest",
        "pytorch": "torch torchvision",
        "redis": "redis",
        "requests": "requests urllib3",
        "scikit-learn": "sklearn",
        "scipy": "scipy",
        "setuptools": "setuptools distutils",
        "sqlalchemy": "sqlalchemy alembic",
        "sqlite": "sqlite3",
        "tensorflow": "tensorflow keras",
        "transformers": "transformers peft",
        "tree-sitter": "tree_sitter",
        "typer": "typer",
        "unittest": "unittest",
        "yaml": "yaml ruamel",
    },
    "javascript": {
        "angular": "@angular",
        "aws": "aws-sdk @aws-sdk",
        "axios": "axios",
        "esbuild": "esbuild",
        "eslint": "eslint",
        "express": "express",
        "fastify": "fastify",
        "graphql": "graphql @apollo apollo-server",
        "jest": "jest @jest",
        "jquery": "jquery",
        "jwt": "jsonwebtoken",
        "lodash": "lodash",
        "mocha": "mocha chai",
        "mysql": "mysql mysql2",
        "knex": "knex",
        "mongodb": "mongodb mongoose",
        "nestjs": "@nestjs",
        "next": "next",
        "node": "fs path http https os crypto stream events child_process util url net node:",
        "node-test": "node:test",
        "playwright": "playwright @playwright",
        "postgresql": "pg",
        "prisma": "@prisma",
        "react": "react react-dom",
        "redis": "redis ioredis",
        "redux": "redux react-redux @reduxjs",
        "sequelize": "sequelize",
        "socketio": "socket.io socket.io-client",
        "svelte": "svelte",
        "tailwind": "tailwindcss",
        "tanstack-query": "@tanstack",
        "testing-library": "@testing-library",
        "three": "three",
        "tree-sitter": "tree-sitter web-tree-sitter",
        "typeorm": "typeorm",
        "vite": "vite vitest",
        "vue": "vue vuex pinia",
        "webpack": "webpack",
        "websocket": "ws socket.io",
        "zod": "zod",
    },
    "java": {
        "android": "android androidx",
        "guava": "com.google.common",
        "guice": "com.google.inject",
        "hibernate": "org.hibernate",
        "jackson": "com.fasterxml.jackson",
        "java-concurrency": "java.util.concurrent",
        "jdbc": "java.sql javax.sql",
        "jpa": "javax.persistence jakarta.persistence",
        "junit": "org.junit junit",
        "kafka": "org.apache.kafka",
        "log4j": "org.apache.logging.log4j org.apache.log4j",
        "lombok": "lombok",
        "mockito": "org.mockito",
        "netty": "io.netty",
        "servlet": "javax.servlet jakarta.servlet",
        "slf4j": "org.slf4j",
        "gson": "com.google.gson com.google.code.gson",
        "gradle": "org.gradle",
        "jax-rs": "javax.ws jakarta.ws",
        "micronaut": "io.micronaut",
        "mongodb": "com.mongodb",
        "quarkus": "io.quarkus",
        "spring": "org.springframework",
    },
    "go": {
        "aws": "github.com/aws",
        "chi": "github.com/go-chi",
        "cobra": "github.com/spf13/cobra",
        "echo": "github.com/labstack/echo",
        "gin": "github.com/gin-gonic",
        "go-http": "net/http",
        "go-sql": "database/sql",
        "go-sync": "sync",
        "go-testing": "testing",
        "gorm": "gorm.io github.com/jinzhu/gorm",
        "grpc": "google.golang.org/grpc",
        "kubernetes": "k8s.io",
        "postgresql": "github.com/lib/pq github.com/jackc",
        "prometheus": "github.com/prometheus",
        "redis": "github.com/go-redis github.com/redis",
        "testify": "github.com/stretchr/testify",
        "tree-sitter": "github.com/tree-sitter github.com/smacker/go-tree-sitter",
        "fiber": "github.com/gofiber",
        "gorilla": "github.com/gorilla",
        "jwt": "github.com/golang-jwt github.com/dgrijalva/jwt-go",
        "kafka": "github.com/segmentio/kafka-go github.com/IBM/sarama",
        "mongodb": "go.mongodb.org",
        "viper": "github.com/spf13/viper",
        "zap": "go.uber.org/zap",
    },
    "rust": {
        "actix": "actix_web actix",
        "anyhow": "anyhow thiserror",
        "axum": "axum",
        "clap": "clap",
        "diesel": "diesel",
        "hyper": "hyper",
        "pyo3": "pyo3",
        "rayon": "rayon",
        "reqwest": "reqwest",
        "rocket": "rocket",
        "serde": "serde serde_json serde_derive",
        "sqlx": "sqlx",
        "tokio": "tokio futures",
        "tonic": "tonic prost",
        "tracing": "tracing log",
        "tree-sitter": "tree_sitter tree_sitter_language cc",
        "rand": "rand",
        "redis": "redis",
        "regex": "regex",
        "sea-orm": "sea_orm",
        "tauri": "tauri",
        "wasm": "wasm_bindgen web_sys js_sys",
    },
}
_BY_LANGUAGE["typescript"] = _BY_LANGUAGE["javascript"]
_REQUIRED = re.compile(r"\b(?:require|import)\s*\(\s*[\"']([^\"'\n]+)[\"']")
_BORDER = frozenset("./:")


def technologies_of(language: str, imports: list[str], text: str) -> list[str]:
    """Technologies that a file imports, sorted.

    Args:
        language: Language of the file.
        imports: What its imports name.
        text: Its content, for what is required by a call (JavaScript and TypeScript).
    """
    modules = {module for one in imports for module in one.split(", ")}
    if language in ("javascript", "typescript"):
        modules |= set(_REQUIRED.findall(text))
    return technologies_of_modules(language, modules)


def technologies_of_modules(language: str, modules: Iterable[str]) -> list[str]:
    """Technologies that modules or packages belong to, sorted."""
    table, named = _BY_LANGUAGE.get(language, {}), sorted(set(modules))
    return sorted(
        technology
        for technology, beginnings in table.items()
        if any(_is_of(module, start) for module in named for start in beginnings.split())
    )


def _is_of(module: str, start: str) -> bool:
    if not module.startswith(start):
        return False
    rest = module[len(start) :]
    return not rest or rest[0] in _BORDER or start[-1] in _BORDER
