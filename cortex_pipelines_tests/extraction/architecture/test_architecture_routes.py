"""Routes of each framework: method, whole path, handler, and the lines that state them."""

from collections.abc import Callable

import polars as pl
import pytest

Chosen = Callable[..., set[tuple[str, ...]]]
FactExtractor = Callable[..., pl.DataFrame]

CASES: dict[str, tuple[dict[str, str], set[tuple[str, str, str]]]] = {
    "fastapi": (
        {
            "app/__init__.py": "",
            "app/main.py": (
                "from fastapi import FastAPI\nfrom app.api import tickets\n"
                "from app.api.desks import router as desks\napp = FastAPI()\n"
                "app.include_router(tickets.router, prefix='/v2')\n"
                "app.include_router(router=desks)\n"
                "@app.get('/ping')\nasync def ping(): ...\n"
                "@app.api_route('/any', methods=['GET', 'put'])\ndef both(): ...\n"
                "@app.websocket('/live')\nasync def live(ws): ...\n"
                "app.add_api_route('/added', ping)\n"
                "class Client:\n    @cached('/no')\n    def get(self): ...\n"
            ),
            "app/api/__init__.py": "",
            "app/api/tickets.py": (
                "from fastapi import APIRouter\nrouter = APIRouter(prefix='/tickets')\n"
                "@router.post('', summary='Sell a ticket')\ndef sell(): ...\n"
                "@router.get(path=f'/{SEAT}/row')\ndef row(): ...\n"
            ),
            "app/api/desks.py": (
                "from fastapi import APIRouter\nrouter = APIRouter(prefix=settings.DESKS)\n"
                "@router.delete('/{desk_id}')\ndef close(desk_id): ...\n"
            ),
        },
        {
            ("GET /ping", "ping", "fastapi"),
            ("GET /any", "both", "fastapi"),
            ("PUT /any", "both", "fastapi"),
            ("WEBSOCKET /live", "live", "fastapi"),
            ("ANY /added", "ping", "fastapi"),
            ("POST /v2/tickets", "sell", "fastapi"),
            ("GET /v2/tickets/{SEAT}/row", "row", "fastapi"),
            ("DELETE /{settings.DESKS}/{desk_id}", "close", "fastapi"),
        },
    ),
    "flask": (
        {
            "web.py": (
                "from flask import Flask, Blueprint\nfrom flask_restful import Api\n"
                "bp = Blueprint('b', __name__, url_prefix='/own')\n"
                "twice = Blueprint('t', __name__, url_prefix='/lost')\napi = Api(bp)\n"
                "@bp.route('/plain')\n@login\ndef plain(): ...\n"
                "@twice.route('/form', methods=('GET', 'POST'))\ndef form(): ...\n"
                "def create():\n    app = Flask(__name__)\n    app.register_blueprint(bp)\n"
                "    app.register_blueprint(twice, url_prefix='/new')\n"
                "    app.add_url_rule('/view', view_func=Page.as_view('page'))\n"
                "api.add_resource(Lots, '/lots', '/lots/<int:number>')\n"
            )
        },
        {
            ("GET /own/plain", "plain", "flask"),
            ("GET /new/form", "form", "flask"),
            ("POST /new/form", "form", "flask"),
            ("GET /view", "Page", "flask"),
            ("ANY /lots", "Lots", "flask-restful"),
            ("ANY /lots/<int:number>", "Lots", "flask-restful"),
        },
    ),
    "django": (
        {
            "site/urls.py": (
                "from django.urls import include, path, re_path\n"
                "urlpatterns = [\n    path('admin/', admin.site.urls),\n"
                "    path('shop/', include('shop.urls', namespace='s')),\n"
                "    re_path(r'^old/(?P<year>[0-9]{4})$', views.old),\n"
                "    path('in/', include([path('side/', login_required(views.side))])),\n]\n"
                "urlpatterns += [path('late/', views.late)]\n"
            ),
            "shop/__init__.py": "",
            "shop/urls.py": (
                "from rest_framework.routers import DefaultRouter\nrouter = DefaultRouter()\n"
                "router.register(r'lots', LotViewSet, basename='lot')\n"
                "urlpatterns = [path('cart/', CartView.as_view()), path('',"
                " include(router.urls))]\n"
            ),
        },
        {
            ("ANY /admin/", "admin.site.urls", "django"),
            ("ANY /shop/cart/", "CartView", "django"),
            ("ANY /shop/lots/", "LotViewSet", "django-rest-framework"),
            ("ANY /old/(?P<year>[0-9]{4})", "views.old", "django"),
            ("ANY /in/side/", "views.side", "django"),
            ("ANY /late/", "views.late", "django"),
        },
    ),
    "aiohttp": (
        {
            "a.py": "from aiohttp import web\napp = web.Application()\n"
            "app.router.add_get('/x', handle)\nroutes = web.RouteTableDef()\n"
            "@routes.post('/y')\nasync def y(request): ...\n"
        },
        {("GET /x", "handle", "aiohttp"), ("POST /y", "y", "aiohttp")},
    ),
    "express": (
        {
            "server.js": (
                "const express = require('express');\nconst axios = require('axios');\n"
                "const users = require('./routes/users');\nconst app = express();\n"
                "app.set('view engine', 'x');\napp.use(express.json());\napp.get('env');\n"
                "app.use('/api', users);\napp.use('/raw', require('./routes/raw'));\n"
                "axios.get('/remote', { a: 1 });\ncache.get('/key', fallback);\n"
                "app.route('/both').get(list).post(auth, make.bind(this));\n"
                "app.all('*', (req, res) => {});\n"
            ),
            "routes/users.js": (
                "const { Router } = require('express');\nconst router = Router();\n"
                "router.get('/users/:id', guard, wrap(show));\n"
                "router.delete(['/users/:id', '/people/:id'], remove);\nmodule.exports = router;\n"
            ),
            "routes/raw.js": (
                "const router = require('express').Router();\n"
                "router.post('/', function raw(req, res) {\n  return res.end();\n});\n"
                "module.exports = router;\n"
            ),
            "chain.ts": (
                "import { Router } from 'express';\nimport inner from './inner';\n"
                "export default Router().use('/deep', inner).get('/top', top);\n"
            ),
            "inner.ts": (
                "import { Router } from 'express';\nconst inner = Router();\n"
                "inner.put(`/leaf/${version}`, put);\nexport default inner;\n"
            ),
            "app.test.js": "request(app).get('/users/1').expect(200);\n",
        },
        {
            ("GET /both", "list", "express"),
            ("POST /both", "make", "express"),
            ("ANY /*", "(inline)", "express"),
            ("GET /api/users/:id", "show", "express"),
            ("DELETE /api/users/:id", "remove", "express"),
            ("POST /raw/", "raw", "express"),
            ("GET /top", "top", "express"),
            ("PUT /deep/leaf/{version}", "put", "express"),
        },
    ),
    "fastify": (
        {
            "main.js": "const fastify = require('fastify')();\n"
            "fastify.register(require('./plug'), { prefix: '/v1' });\n"
            "const plug = require('./plug');\nfastify.register(plug, { prefix: '/v2' });\n",
            "plug.js": "module.exports = async function (fastify, opts) {\n"
            "  fastify.get('/seats', { schema }, async () => 1);\n};\n",
        },
        {("GET /v1/seats", "(inline)", "fastify"), ("GET /v2/seats", "(inline)", "fastify")},
    ),
    "nestjs": (
        {
            "cats.controller.ts": (
                "import { Controller, Get, Post } from '@nestjs/common';\n"
                "@Controller('cats')\nexport class CatsController {\n"
                "  constructor(private readonly s: Service) {}\n\n"
                "  @Get()\n  @ApiOperation({ summary: 'List all cats' })\n"
                "  findAll(): string {\n    return 'x';\n  }\n\n"
                "  @Post([':id/feed', 'feed'])\n  async feed(@Param() p) {}\n\n  plain() {}\n}\n"
                "@Controller({ path: '/dogs', version: '1' })\n"
                "class Dogs { @Get('/:id') one() {} }\n"
                "class Nothing { @Get('no') no() {} }\n"
            )
        },
        {
            ("GET /cats", "CatsController.findAll", "nestjs"),
            ("POST /cats/:id/feed", "CatsController.feed", "nestjs"),
            ("POST /cats/feed", "CatsController.feed", "nestjs"),
            ("GET /dogs/:id", "Dogs.one", "nestjs"),
        },
    ),
    "nextjs": (
        {
            "src/app/(shop)/lots/[lotId]/route.ts": "export async function GET(r: Request) {}\n"
            "export const POST = wrap(async () => {})\n"
            "export const dynamic = 'force-static'\n",
            "pages/api/desks/index.js": "export default function handler(req, res) {}\n",
        },
        {
            ("GET /lots/{lotId}", "GET", "nextjs"),
            ("POST /lots/{lotId}", "POST", "nextjs"),
            ("ANY /api/desks", "handler", "nextjs"),
        },
    ),
    "spring": (
        {
            "A.java": (
                'package a;\n@RestController\n@RequestMapping(path = {"/v1", "/v2"})\nclass A {\n'
                "  @GetMapping\n  List<String> all() { return null; }\n"
                '  /** Sells one seat. */\n  @PostMapping("/seats")\n  void sell() {}\n'
                '  @RequestMapping(value = BASE + "/x", method = {RequestMethod.PUT, '
                "RequestMethod.PATCH})\n  void change() {}\n  void none() {}\n}\n"
                '@FeignClient("b")\ninterface B { @GetMapping("/remote") String remote(); }\n'
            ),
            "J.java": '@Path("/jax")\nclass J {\n  @GET\n  @Path("{id}")\n  String one() { return null; }\n}\n',
        },
        {
            *((f"GET /{v}", "A.all", "spring") for v in ("v1", "v2")),
            *((f"POST /{v}/seats", "A.sell", "spring") for v in ("v1", "v2")),
            *((f"{m} /{v}/{{BASE}}/x", "A.change", "spring") for v in ("v1", "v2") for m in ("PUT", "PATCH")),
            ("GET /jax/{id}", "J.one", "jax-rs"),
        },
    ),
    "micronaut": (
        {
            "M.java": 'import io.micronaut.http.annotation.*;\n@Controller("/m")\nclass M {\n'
            '  @Get("/x")\n  String x() { return null; }\n}\n'
        },
        {("GET /m/x", "M.x", "micronaut")},
    ),
    "net/http": (
        {
            "main.go": (
                'package main\n\nimport "net/http"\n\nfunc main() {\n'
                '\tmux := http.NewServeMux()\n\tmux.HandleFunc("GET /seats/{id}", show)\n'
                '\tmux.Handle("/files/", http.StripPrefix("/files/", files))\n'
                '\thttp.HandleFunc("/old", func(w http.ResponseWriter, r *http.Request) {})\n'
                '\thttp.Get("/remote")\n\tclient.Get("/remote", nil)\n}\n'
            ),
            "main_test.go": 'package main\n\nfunc T() { mux.HandleFunc("/test", h) }\n',
        },
        {
            ("GET /seats/{id}", "show", "net/http"),
            ("ANY /files/", "files", "net/http"),
            ("ANY /old", "(inline)", "net/http"),
        },
    ),
    "gin": (
        {
            "go.mod": "module acme.org/shop\n",
            "main.go": (
                'package main\n\nimport (\n\t"github.com/gin-gonic/gin"\n\t"acme.org/shop/lots"\n'
                ")\n\n"
                'func main() {\n\tr := gin.Default()\n\tapi := r.Group("/api")\n'
                '\tlots.Register(api.Group("/lots"))\n\tlots.More(r)\n'
                '\tapi.GET("/ping", auth, ping)\n\tr.Handle("PATCH", "/odd", odd)\n'
                '\tr.Group("/x").POST("/y", y)\n}\n'
            ),
            "lots/routes.go": (
                "package lots\n\nfunc Register(router *gin.RouterGroup) {\n"
                '\trouter.DELETE("/:id", Remove)\n}\n\nfunc More(router *gin.Engine) {\n'
                '\trouter.Any("/more", h.More)\n}\n'
            ),
        },
        {
            ("DELETE /api/lots/:id", "Remove", "gin"),
            ("ANY /more", "h.More", "gin"),
            ("GET /api/ping", "ping", "gin"),
            ("PATCH /odd", "odd", "gin"),
            ("POST /x/y", "y", "gin"),
        },
    ),
    "chi": (
        {
            "main.go": (
                'package main\n\nimport "github.com/go-chi/chi/v5"\n\nfunc main() {\n'
                '\tr := chi.NewRouter()\n\tr.With(page).Get("/", index)\n'
                '\tr.Route("/lots", func(r chi.Router) {\n\t\tr.Post("/", create)\n'
                '\t\tr.Route("/{id}", func(r chi.Router) {\n\t\t\tr.Put("/", update)\n\t\t})\n'
                '\t\tr.Group(func(r chi.Router) {\n\t\t\tr.Get("/mine", mine)\n\t\t})\n\t})\n'
                '\tr.Mount("/admin", adminRouter())\n\tr.Method("GET", "/m", h)\n}\n\n'
                "func adminRouter() http.Handler {\n\tr := chi.NewRouter()\n"
                '\tr.Get("/stats", stats)\n\treturn r\n}\n'
            )
        },
        {
            ("GET /", "index", "chi"),
            ("POST /lots/", "create", "chi"),
            ("PUT /lots/{id}/", "update", "chi"),
            ("GET /lots/mine", "mine", "chi"),
            ("GET /admin/stats", "stats", "chi"),
            ("GET /m", "h", "chi"),
        },
    ),
    "gorilla": (
        {
            "main.go": (
                'package main\n\nimport "github.com/gorilla/mux"\n\nfunc main() {\n'
                '\tr := mux.NewRouter()\n\tr.HandleFunc(base+"/seats", s.seats).Methods('
                'http.MethodGet, "POST")\n\tsub := r.PathPrefix("/v1").Subrouter()\n'
                '\tsub.HandleFunc("/x", x)\n}\n'
            )
        },
        {
            ("GET /{base}/seats", "s.seats", "gorilla"),
            ("POST /{base}/seats", "s.seats", "gorilla"),
            ("ANY /v1/x", "x", "gorilla"),
        },
    ),
    "actix": (
        {
            "Cargo.toml": '[package]\nname = "shop"\n',
            "src/main.rs": (
                "mod lots;\nuse actix_web::{get, web, App};\n"
                '/// Says hello.\n#[get("/hello/{name}")]\nasync fn hello() -> String { x() }\n'
                '#[route("/two", method = "GET", method = "PUT")]\nasync fn two() {}\n'
                "fn main() {\n    App::new()\n        .service(hello)\n        .service(two)\n"
                '        .service(web::scope("/api").configure(lots::config))\n'
                '        .route("/raw", web::post().to(raw));\n}\n'
            ),
            "src/lots.rs": (
                "use actix_web::web;\npub fn config(cfg: &mut web::ServiceConfig) {\n"
                '    cfg.service(\n        web::resource("/lots")\n'
                "            .route(web::get().to(list))\n"
                "            .route(web::post().to(make)),\n    );\n}\n"
            ),
        },
        {
            ("GET /hello/{name}", "hello", "actix"),
            ("GET /two", "two", "actix"),
            ("PUT /two", "two", "actix"),
            ("POST /raw", "raw", "actix"),
            ("GET /api/lots", "list", "actix"),
            ("POST /api/lots", "make", "actix"),
        },
    ),
    "axum": (
        {
            "Cargo.toml": '[package]\nname = "shop"\n',
            "src/main.rs": (
                "mod lots;\nuse axum::{routing::{get, post}, Router};\nfn app() -> Router {\n"
                '    let admin = Router::new().route("/stats", get(stats));\n'
                '    Router::new()\n        .route("/", get(index).post(save))\n'
                '        .nest("/lots", lots::router())\n        .nest("/admin", admin)\n'
                '        .nest("/in", Router::new().route("/x", post(|| async {})))\n'
                "        .merge(lots::more())\n}\n"
            ),
            "src/lots.rs": (
                "use axum::{routing::*, Router};\npub fn router() -> Router {\n"
                '    Router::new().route("/:id", delete(remove))\n}\n'
                'pub fn more() -> Router {\n    Router::new().route("/more", any(more_of))\n}\n'
            ),
        },
        {
            ("GET /", "index", "axum"),
            ("POST /", "save", "axum"),
            ("DELETE /lots/:id", "remove", "axum"),
            ("GET /admin/stats", "stats", "axum"),
            ("POST /in/x", "(inline)", "axum"),
            ("ANY /more", "more_of", "axum"),
        },
    ),
    "rocket": (
        {
            "src/main.rs": (
                '#[macro_use] extern crate rocket;\n#[get("/<id>?<page>")]\nfn one(id: u8) {}\n'
                '#[post("/", data = "<lot>")]\nfn make() {}\n#[launch]\nfn rocket() -> _ {\n'
                '    rocket::build().mount("/lots", routes![one, make])\n}\n'
            )
        },
        {("GET /lots/<id>?<page>", "one", "rocket"), ("POST /lots/", "make", "rocket")},
    ),
}


@pytest.mark.parametrize("framework", CASES)
def test_routes_have_their_whole_path_and_handler(triples: Chosen, framework: str) -> None:
    texts, expected = CASES[framework]
    assert triples(texts, "route", "subject", "object", "technology") == expected


def test_a_route_names_its_declaration_and_what_it_is_for(extract_facts: FactExtractor) -> None:
    texts = {
        "a.py": (
            "from fastapi import APIRouter\nr = APIRouter()\n\n\n@r.get(\n    '/x',\n)\n"
            "def x(\n    y: int,\n) -> int:\n    '''Find an x for everyone.'''\n    return 1\n"
        ),
        "b.js": (
            "import { Router } from 'express'\nimport { show } from './c'\n"
            "const router = Router()\n"
            "// Puts a thing away.\nrouter.put('/y', async (req, res) => {\n  res.end()\n})\n"
            "router\n  .get('/z', show)\n"
        ),
        "c.js": "/** Shows the newest z. */\nexport function show() {}\n",
        "d.rs": "use axum::Router;\nfn f() -> Router {\n  Router::new()\n"
            "    .route(\"/p\", get(p))\n"
                "    .route(\"/q\",\n      get(q))\n}\n",
    }  # fmt: skip
    columns = ("subject", "start_line", "end_line", "description", "description_source")
    frame = extract_facts(texts).filter(pl.col("fact") == "route")
    assert set(frame.select(columns).iter_rows()) == {
        ("GET /x", 5, 10, "Find an x for everyone.", "docstring"),
        ("PUT /y", 5, 5, "Puts a thing away.", "comment"),
        ("GET /z", 9, 9, "Shows the newest z.", "docstring"),
        ("GET /p", 4, 4, None, None),
        ("GET /q", 5, 6, None, None),
    }
    evidence = dict(frame.select("subject", "evidence").iter_rows())
    assert evidence["GET /x"].endswith("    y: int,\n) -> int:")


def test_routers_that_mount_each_other_end(triples: Chosen) -> None:
    texts = {
        "a.js": "const { Router } = require('express');\nconst a = Router();\nconst b = Router();\n"
                "a.use('/b', b);\nb.use('/a', a);\na.get('/x', x);\n"
    }  # fmt: skip
    assert len(triples(texts, "route", "subject", "object")) >= 1


def test_generated_and_tested_code_states_no_route(extract_facts: FactExtractor) -> None:
    texts = {"x.test.ts": "import request from 'supertest'\nrequest(app).post('/x', go)\n"}
    assert extract_facts(texts).filter(pl.col("fact") == "route").is_empty()
