"""API definitions, deployment configuration, and the boundaries of packages and services."""

from collections.abc import Callable

import polars as pl
import pytest

Chosen = Callable[..., set[tuple[str, ...]]]
FactExtractor = Callable[..., pl.DataFrame]

APIS: dict[str, tuple[str, str, set[tuple[str, str, str]]]] = {
    "openapi": (
        "api/spec.yaml",
        "openapi: 3.1.0\ninfo:\n  title: Seats\n  description: Sells the seats of halls.\n"
        "  version: '2'\npaths:\n  /seats/{id}:\n    parameters: []\n    get:\n"
        "      summary: Find one seat\n      operationId: findSeat\n    delete: {}\n"
        "components:\n  schemas:\n    Seat:\n      type: object\n      properties:\n"
        "        label: {type: string}\n        hall:\n"
        "          $ref: '#/components/schemas/Hall'\n",
        {
            ("Seats", "api", "2"),
            ("GET /seats/{id}", "operation", "findSeat"),
            ("DELETE /seats/{id}", "operation", ""),
            ("Seat", "message", "object"),
            ("Seat", "field", "label string"),
            ("Seat", "field", "hall Hall"),
        },
    ),
    "swagger in JSON": (
        "spec.json",
        '{\n "swagger": "2.0",\n "info": {"title": "Old", "version": "1"},\n "basePath": "/v1/",\n'
        ' "paths": {"/x": {"post": {"operationId": "makeX"}}},\n'
        ' "definitions": {"X": {"properties": {"a": {"type": "integer"}}}}\n}\n',
        {("Old", "api", "1"), ("POST /v1/x", "operation", "makeX"), ("X", "message", ""), ("X", "field", "a integer")},
    ),
    "proto": (
        "seat.proto",
        'syntax = "proto3";\n// message Hidden { }\noption x = "service No {";\n'
        "// Sells seats.\nservice Desk {\n  // Sells one seat.\n"
        '  rpc Sell (Seat) returns (stream Ticket) {\n    option (http) = { post: "/sell" };\n  }\n'
        "  rpc Close(\n    a.b.Empty) returns (Empty);\n}\nmessage Seat {\n  string label = 1;\n"
        "  repeated Row rows = 2; map<string, int32> by_name = 4;\n  message Row { int32 n = 1; }\n"
        "  oneof kind {\n    Row row = 3;\n  }\n}\nenum Size { SMALL = 0; }\n",
        {
            ("Desk", "service", "Desk"),
            ("Desk.Sell", "rpc", "Seat -> stream Ticket"),
            ("Desk.Close", "rpc", "a.b.Empty -> Empty"),
            ("Seat", "message", "Seat"),
            ("Seat", "field", "label string"),
            ("Seat", "field", "rows repeated Row"),
            ("Seat.Row", "message", "Seat.Row"),
            ("Seat", "field", "row Row"),
            ("Size", "enum", "Size"),
        },
    ),
    "graphql": (
        "schema.graphql",
        '"""A seat of a hall."""\ntype Seat implements Node @key(fields: "id") {\n  id: ID!\n'
        '  "Its row"\n  row(short: Boolean = true): String\n}\n# type Hidden { a: Int }\n'
        'type Query {\n  """Seats that are free."""\n  seats(hall: ID!,\n'
        "    first: Int): [Seat!]!\n}\n"
        "extend type Mutation {\n  sell(id: ID!): Seat\n}\ninput Find { hall: ID }\n"
        "union Thing = Seat | Hall\nenum Size { SMALL }\nscalar Date\n",
        {
            ("Seat", "type", "Seat"),
            ("Seat", "field", "id ID!"),
            ("Seat", "field", "row String"),
            ("Query.seats", "query", "(hall: ID!, first: Int) -> [Seat!]!"),
            ("Query", "query", "Query"),
            ("Mutation.sell", "mutation", "(id: ID!) -> Seat"),
            ("Mutation", "mutation", "Mutation"),
            ("Find", "input", "Find"),
            ("Thing", "union", "Thing"),
            ("Size", "enum", "Size"),
            ("Date", "scalar", "Date"),
        },
    ),
}
DEPLOYMENT: dict[str, tuple[str, str, set[tuple[str, str, str]]]] = {
    "dockerfile": (
        "desk/Dockerfile",
        "# syntax=docker/dockerfile:1\nARG V=3\n# Builds it.\n"
        "FROM --platform=linux/amd64 golang:1.22 AS build\nRUN go build \\\n  # why\n  -o /x .\n"
        "RUN <<EOF\nEXPOSE 1\nEOF\nfrom alpine\nCOPY --from=build /x /x\n"
        "COPY --from=busybox:1 /a /a\nEXPOSE 80 443/tcp\nVOLUME [\"/data\"]\n"
        "ENTRYPOINT [\"/x\", \"serve\"]\nCMD --port 80\n",
        {
            ("desk/Dockerfile", "builds", "alpine"),
            ("desk/Dockerfile#build", "image", "golang:1.22"),
            ("desk/Dockerfile#2", "image", "alpine"),
            ("desk/Dockerfile#2", "stage", "build"),
            ("desk/Dockerfile#2", "image", "busybox:1"),
            ("desk/Dockerfile#2", "port", "80"),
            ("desk/Dockerfile#2", "port", "443/tcp"),
            ("desk/Dockerfile#2", "volume", "/data"),
            ("desk/Dockerfile#2", "command", "/x serve"),
            ("desk/Dockerfile#2", "command", "--port 80"),
        },
    ),
    "compose": (
        "deploy/docker-compose.prod.yml",
        "x-base: &base\n  restart: always\nservices:\n  # Sells seats.\n  desk:\n    <<: *base\n"
        "    build:\n      context: ../desk\n    ports:\n      - '80:80'\n      - target: 9\n"
        "        published: 90\n    environment:\n      - TOKEN=secret\n    depends_on:\n"
        "      db:\n"
        "        condition: service_healthy\n    command: [serve, --fast]\n  db:\n"
        "    image: postgres:16\n    environment: {PASSWORD: hidden}\n"
        "    volumes: [data:/var/lib]\n",
        {
            ("desk", "service", "build desk"),
            ("desk", "built-from", "desk"),
            ("desk", "port", "80:80"),
            ("desk", "port", "90:9"),
            ("desk", "environment", "TOKEN"),
            ("desk", "depends-on", "db"),
            ("desk", "command", "serve --fast"),
            ("db", "service", "postgres:16"),
            ("db", "image", "postgres:16"),
            ("db", "environment", "PASSWORD"),
            ("db", "volume", "data:/var/lib"),
        },
    ),
    "kubernetes": (
        "k8s/desk.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: desk\nspec:\n  template:\n"
        "    spec:\n      containers:\n        - name: desk\n          image: acme/desk:1\n"
        "          env:\n            - name: MODE\n              value: fast\n"
        "          ports:\n            - containerPort: 80\n---\napiVersion: v1\nkind: Service\n"
        "metadata: {name: desk}\nspec:\n  selector:\n    app: desk\n  ports:\n    - port: 8080\n"
        "      targetPort: 80\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\n"
        "metadata:\n  name: in\nspec:\n  rules:\n    - host: acme.org\n      http:\n"
        "        paths:\n"
        "          - path: /desk\n            backend:\n              service:\n"
        "                name: desk\n",
        {
            ("Deployment/desk", "object", "apps/v1"),
            ("Deployment/desk", "image", "acme/desk:1"),
            ("Deployment/desk", "environment", "MODE"),
            ("Deployment/desk", "port", "80"),
            ("Service/desk", "object", "v1"),
            ("Service/desk", "selects", "app=desk"),
            ("Service/desk", "port", "8080:80"),
            ("Ingress/in", "object", "networking.k8s.io/v1"),
            ("Ingress/in", "routes-to", "acme.org/desk -> desk"),
        },
    ),
    "helm template": (
        "chart/templates/d.yaml",
        "{{- if .Values.on }}\napiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n"
        "  name: {{ .Values.name }}\n  labels:\n    {{- include \"x\" . | nindent 4 }}\n"
        "{{- end }}\n",
        {("StatefulSet/__.Values.name__", "object", "apps/v1")},
    ),
    "helm": (
        "chart/Chart.yaml",
        "apiVersion: v2\nname: desk\ndescription: Sells seats of halls\nversion: 1.2.0\n"
        "dependencies:\n  - name: postgresql\n    version: 12\n",
        {("Chart/desk", "object", "1.2.0"), ("Chart/desk", "depends-on", "postgresql")},
    ),
    "github-actions": (
        ".github/workflows/ci.yml",
        "name: CI\non:\n  push:\n  pull_request:\njobs:\n  build:\n    runs-on: ubuntu-24.04\n"
        "    services:\n      db: {image: postgres}\n    steps:\n"
        "      - uses: actions/checkout@v4\n"
        "      - run: |\n          make all\n          make test\n  ship:\n    needs: [build]\n"
        "    runs-on: [self-hosted, big]\n",
        {
            ("CI", "trigger", "push"),
            ("CI", "trigger", "pull_request"),
            ("CI/build", "job", "build"),
            ("CI/build", "runs-on", "ubuntu-24.04"),
            ("CI/build", "service", "db"),
            ("CI/build", "uses", "actions/checkout@v4"),
            ("CI/build", "runs", "make all"),
            ("CI/ship", "job", "ship"),
            ("CI/ship", "needs", "build"),
            ("CI/ship", "runs-on", "self-hosted"),
            ("CI/ship", "runs-on", "big"),
        },
    ),
    "gitlab-ci": (
        ".gitlab-ci.yml",
        "stages: [build]\nvariables: {A: b}\ntest:\n  stage: build\n  image: python:3.12\n"
        "  script:\n    - pytest\n",
        {
            (".gitlab-ci.yml/test", "job", "build"),
            (".gitlab-ci.yml/test", "runs-on", "python:3.12"),
            (".gitlab-ci.yml/test", "runs", "pytest"),
        },
    ),
    "circleci": (
        ".circleci/config.yml",
        "version: 2.1\njobs:\n  test:\n    docker:\n      - image: cimg/go:1.22\n    steps:\n"
        "      - checkout\n",
        {
            (".circleci/config.yml/test", "job", "test"),
            (".circleci/config.yml/test", "runs-on", "cimg/go:1.22"),
        },
    ),
    "azure-pipelines": (
        "azure-pipelines.yml",
        "jobs:\n  - job: Build\n    dependsOn: Lint\n",
        {
            ("azure-pipelines.yml/Build", "job", "Build"),
            ("azure-pipelines.yml/Build", "needs", "Lint"),
        },
    ),
    "travis": (".travis.yml", "language: go\n", {(".travis.yml", "job", "build")}),
    "terraform": (
        "main.tf",
        'resource "aws_s3_bucket" "logs" {\n  bucket = "x"\n  tags = {\n    a = 1\n  }\n}\n'
        'module "net" {\n  source = "./net"\n}\nvariable "region" {\n'
        '  description = "Where it all runs"\n}\nprovider "aws" {}\n',
        {
            ("resource.aws_s3_bucket.logs", "resource", "aws_s3_bucket"),
            ("module.net", "module", "./net"),
            ("variable.region", "variable", "region"),
            ("provider.aws", "provider", "aws"),
        },
    ),
}  # fmt: skip
SERVICES = {
    "desk/pyproject.toml": '[project]\nname = "desk"\ndescription = "Sells seats of halls"\n'
    'dependencies = [\n  "flask>=2",\n  "money",\n]\n[project.optional-dependencies]\n'
    'fast = ["uvloop"]\n',
    "desk/desk/__init__.py": "",
    "desk/desk/main.py": "import money.price\nfrom money import price\n",
    "money/setup.py": "from setuptools import setup\n"
    "setup(name='money', description='Prices of all',\n"
    "      install_requires=['attrs>=1'])\n",
    "money/money/__init__.py": "",
    "money/money/price.py": "",
    "old/setup.cfg": "[metadata]\nname = old\n[options]\ninstall_requires =\n    six\n",
    "poetry/pyproject.toml": '[tool.poetry]\nname = "verse"\n[tool.poetry.dependencies]\npython = "^3"\nrich = "*"\n',
    "web/package.json": '{\n  "name": "web",\n  "description": "The page of it",\n'
    '  "dependencies": {\n    "react": "^18"\n  }\n}\n',
    "web/Dockerfile": "FROM node\n",
    "mail/src/Dockerfile": "FROM python\n",
    "mail/src/requirements.txt": "# mail\naiosmtplib==1.0\n-r more.txt\n",
    "go/go.mod": "module acme.org/go\nrequire github.com/a/b v1.0.0\n",
    "jvm/pom.xml": "<?xml version='1.0'?>\n<!-- <artifactId>no</artifactId> -->\n<project>\n"
    "  <parent><artifactId>parent</artifactId></parent>\n  <artifactId>jvm</artifactId>\n"
    "  <description>Runs on it</description>\n  <dependencies>\n    <dependency>\n"
    "      <groupId>org.acme</groupId>\n      <artifactId>lib</artifactId>\n    </dependency>\n"
    "  </dependencies>\n</project>\n",
    "gr/build.gradle": "dependencies {\n  implementation 'io.grpc:grpc-core:1.0'\n"
    "  testImplementation project(':util')\n}\n",
    "gr/settings.gradle": "rootProject.name = 'gradle-desk'\n",
    "util/build.gradle.kts": 'dependencies {\n  api("org.acme:x:1")\n}\n',
}


@pytest.mark.parametrize("kind", APIS)
def test_apis_have_their_operations_and_messages(triples: Chosen, kind: str) -> None:
    path, text, expected = APIS[kind]
    assert triples({path: text}, "api") == expected


@pytest.mark.parametrize("kind", DEPLOYMENT)
def test_deployment_says_what_runs_where(triples: Chosen, kind: str) -> None:
    path, text, expected = DEPLOYMENT[kind]
    assert triples({path: text}, "deployment") == expected


def test_values_of_an_environment_are_in_no_object(extract_facts: FactExtractor) -> None:
    path, text, _ = DEPLOYMENT["compose"]
    facts = extract_facts({path: text})
    assert facts.filter(pl.col("object").str.contains("secret|hidden")).is_empty()


def test_summaries_and_comments_say_what_things_are_for(triples: Chosen) -> None:
    texts = {path: text for path, text, _ in (*APIS.values(), *DEPLOYMENT.values())}
    documented = triples(texts, "api", "subject", "description") | triples(
        texts, "deployment", "subject", "description"
    )
    assert {
        ("Seats", "Sells the seats of halls."),
        ("GET /seats/{id}", "Find one seat"),
        ("Desk", "Sells seats."),
        ("Desk.Sell", "Sells one seat."),
        ("Seat", "A seat of a hall."),
        ("Query.seats", "Seats that are free."),
        ("desk", "Sells seats."),
        ("Chart/desk", "Sells seats of halls"),
        ("variable.region", "Where it all runs"),
        ("desk/Dockerfile#build", "Builds it."),
    } <= documented


def test_evidence_is_the_exact_lines(extract_facts: FactExtractor) -> None:
    texts = {path: text for path, text, _ in (*APIS.values(), *DEPLOYMENT.values())}
    for path, start, end, evidence in (
        extract_facts(texts).select("path", "start_line", "end_line", "evidence").iter_rows()
    ):
        assert evidence == "\n".join(texts[path].split("\n")[start - 1 : end])
        assert start <= end


def test_services_are_where_manifests_or_images_are(triples: Chosen) -> None:
    assert triples(SERVICES, "service", "subject", "object", "technology", "description") == {
        ("desk", "desk", "pyproject", "Sells seats of halls"),
        ("money", "money", "setuptools", "Prices of all"),
        ("old", "old", "setuptools", None),
        ("verse", "poetry", "pyproject", None),
        ("web", "web", "npm", "The page of it"),
        ("mail", "mail/src", "dockerfile", None),
        ("acme.org/go", "go", "go", None),
        ("jvm", "jvm", "maven", "Runs on it"),
        ("gradle-desk", "gr", "gradle", None),
        ("util", "util", "gradle", None),
    }  # type: ignore[comparison-overlap]


def test_services_depend_on_each_other_and_on_packages(triples: Chosen) -> None:
    columns = ("subject", "relation", "object", "scope")
    assert triples(SERVICES, "service-dependency", *columns) == {
        ("desk", "depends-on", "flask", "external"),
        ("desk", "depends-on", "money", "internal"),
        ("desk", "depends-on", "uvloop", "external"),
        ("desk", "imports", "money", "internal"),
        ("money", "depends-on", "attrs", "external"),
        ("old", "depends-on", "six", "external"),
        ("verse", "depends-on", "rich", "external"),
        ("web", "depends-on", "react", "external"),
        ("mail", "depends-on", "aiosmtplib", "external"),
        ("acme.org/go", "depends-on", "github.com/a/b", "external"),
        ("jvm", "depends-on", "org.acme:lib", "external"),
        ("gradle-desk", "depends-on", "io.grpc:grpc-core", "external"),
        ("gradle-desk", "depends-on", "util", "internal"),
        ("util", "depends-on", "org.acme:x", "external"),
    }


def test_a_file_belongs_to_the_innermost_package(triples: Chosen) -> None:
    texts = SERVICES | {"package.json": '{"name": "all"}', "a.js": ""}
    boundaries = dict(triples(texts, "module", "path", "boundary"))  # type: ignore[arg-type]
    assert boundaries["a.js"] == "all"
    assert boundaries["desk/desk/main.py"] == "desk"
