"""How six languages give a value to a name, a form a line.

``%`` stands for the value, ``%h`` and ``%t`` for its halves, ``\\n`` for a line feed and
``<<triple>>`` for three quotes.
"""

FORMS = {
    "python": r"""
TOKEN: ClassVar[str] = "%"
api_key: "Final[Optional[str]]" = ("%")
def connect(*, secret: "SecretStr" = SecretStr("%")): ...
async def f(token: str | None = "%"): ...
client = make(api_key=os.environ.get("K", "%"))
x = environ.get("SECRET_TOKEN", default="%")
cfg.setdefault("api_key", "%")
cfg |= {"api_key": "%"}
cfg.update({"api_key": "%"})
cfg.update(api_key="%")
api_key = Path("x").read_text() if p else "%"
api_key = {"prod": "%"}[env]
api_key = (os.getenv("K") or os.getenv("L") or "%").strip()
api_key = os.environ.get("K") or ("%" if dev else None)
(api_key) = "%"
api_key: Annotated[str | None, Query(description="d")] = "%"
@dataclass\nclass A:\n    token: str = field(default="%", repr=False)
monkeypatch.setenv("API_KEY", "%")
session.headers["Authorization"] = f"Bearer %"
db_password: str = "%"
db_password: Final = "%"
db_password: Final[str] = "%"
db_password: Optional[str] = "%"
db_password: str | None = "%"
db_password: "str" = "%"
api_key: Annotated[str, Field(min_length=3)] = "%"
api_key: Annotated[str, Field(default="%")]
def f(password: Optional[str] = "%"): ...
def f(a, *, api_key="%", b=None): ...
lambda password="%": None
self.password = "%"
self.db.password: str = "%"
cfg["password"] = "%"
cfg["db"]["password"] = "%"
cfg = {"password": "%"}
cfg = {"db": {"api_key": "%"}}
cfg = dict(password="%")
connect(host="h", password="%")
connect(host="h", password=b"%")
connect(password=("%"))
connect(password=SecretStr("%"))
api_key = SecretStr("%")
api_key = str("%")
api_key = bytes("%", "utf-8")
api_key = "%".encode()
api_key = "%".encode("utf-8")
api_key = r"%"
api_key = rb"%"
api_key = f"%"
api_key = u"%"
api_key = <<triple>>%<<triple>>
api_key = '''%'''
api_key = base64.b64decode("%")
api_key = cast(str, "%")
api_key = os.getenv("API_KEY", "%")
api_key = os.environ.get("API_KEY", "%")
api_key = os.environ.get("API_KEY", default="%")
x = os.getenv("API_KEY", "%")
x = os.environ.get("API_KEY") or "%"
x = os.environ["API_KEY"] or "%"
x = config("SECRET_KEY", default="%")
x = env.str("SECRET_KEY", "%")
x = settings.get("db.password", "%")
db_password = os.environ.get("X") or "%"
db_password = x if x else "%"
db_password = "%" if debug else None
db_password = x and "%"
db_password = a or b or "%"
db_password = (x := "%")
(db_password := "%")
user, password = "bob", "%"
(user, password) = ("bob", "%")
[user, password] = ["bob", "%"]
a, (user, password) = 1, ("bob", "%")
password = token = "%"
x = password = "%"
if password == "%": pass
if "%" == password: pass
if password != "%": pass
if user.password == "%" and x: pass
if password in ("aa", "%"): pass
if hmac.compare_digest(password, "%"): pass
if request.headers["X-Api-Key"] == "%": pass
if request.headers.get("X-Api-Key") == "%": pass
os.environ["API_KEY"] = "%"
os.environ.setdefault("API_KEY", "%")
os.putenv("API_KEY", "%")
setattr(x, "password", "%")
headers = {"Authorization": "Bearer %"}
headers = {"X-Api-Key": "%"}
requests.get(u, headers={"X-Api-Key": "%"})
requests.get(u, auth=("bob", "%"))
parser.add_argument("--api-key", default="%")
parser.add_argument("-k", "--api-key", type=str, default="%")
@click.option("--password", default="%")
password = Column(String, default="%")
password = models.CharField(max_length=9, default="%")
password: str = Field("%", alias="pw")
password: str = field(default="%")
password: str = field(default_factory=lambda: "%")
password = property(lambda self: "%")
def get_password(): return "%"
def password(self): return "%"
PASSWORDS = ["aa", "%"]
PASSWORDS = {"prod": "%"}
passwords = {"bob": "%", "ann": "x"}
for password in ["%"]: pass
api_key = "%h" + "%t"
api_key = "%h" "%t"
api_key = ("%h"\n    "%t")
api_key = "".join(["%h", "%t"])
api_key = "".join(("%h", "%t"))
class A:\n    password = "%"
class ApiKey(Enum):\n    PROD = "%"
match password:\n    case "%": pass
print(password := "%")
c = Config(**{"password": "%"})
c = [("password", "%")]
c = {**a, "password": "%"}
c.set("section", "password", "%")
c.password.set("%")
c.set_password("%")
with f(password="%") as x: pass
yield_ = {"k": [{"password": "%"}]}
password = {"a": 1}.get("a", "%")
password = getattr(settings, "PW", "%")
password = input() or "%"
password = "%"; x = 1
def f(a=dict(password="%")): pass
password = next(iter(["%"]))
password = (lambda: "%")()
password = textwrap.dedent(<<triple>>\n    %\n    <<triple>>)
password, = ["%"]
x = {"password": os.environ.get("Z", "%")}
x = {"name": "password", "value": "%"}
x = dict(name="password", value="%")
global_token = ("%",)[0]
password = None or "%"
assert password == "%"
api_key = unquote("%")
api_key = "%".strip()
""",
    "javascript": r"""
const apiKey = (process.env.K || "").trim() || "%";
let apiKey = null; apiKey = apiKey || "%";
const apiKey = import.meta.env.VITE_KEY ?? "%";
export const config = Object.freeze({ apiKey: "%" });
const { api: { apiKey = "%" } = {} } = config;
axios.create({ headers: { common: { "X-Api-Key": "%" } } });
const client = new Client({ apiKey: process.env.API_KEY ?? "%" });
const client = new Client("x", { apiKey: `%` });
app.use(session({ secret: "%" }));
jwt.sign(payload, process.env.JWT_SECRET || "%");
const secretKey = Buffer.from("%").toString("base64");
let f = function (token = "%") {};
const apiKey = cond ? await get() : "%";
const apiKey = "%";
const apiKey = '%';
const apiKey = `%`;
const apiKey = String("%");
const apiKey = new String("%");
const apiKey = Buffer.from("%", "hex");
const apiKey = Object.freeze("%");
const apiKey = process.env.API_KEY || "%";
const apiKey = process.env.API_KEY ?? "%";
const x = process.env.API_KEY ?? "%";
const x = process.env["API_KEY"] || "%";
const { apiKey = "%" } = process.env;
const { API_KEY: k = "%" } = process.env;
const [user, password = "%"] = xs;
const [user, password] = ["bob", "%"];
let password; password = "%";
let password; password ||= "%";
let password; password ??= "%";
x = y ? password : "%";
const password = y ? "%" : z;
const password = (y, "%");
const o = { password: "%" };
const o = { "api-key": "%" };
const o = { ["password"]: "%" };
const o = { db: { password: x || "%" } };
const o = { get password() { return "%"; } };
const o = { password: () => "%" };
const getPassword = () => "%";
const getPassword = function () { return "%"; };
function getPassword() { return "%"; }
function f(password = "%") {}
const f = (password = "%") => 1;
const f = ({ password = "%" } = {}) => 1;
class A { password = "%"; }
class A { #password = "%"; }
class A { static API_KEY = "%"; }
class A { constructor() { this.password = "%"; } }
class A { constructor() { this.#password = "%"; } }
o["password"] = "%";
o.db.password = "%";
module.exports.password = "%";
exports.apiKey = "%";
headers.set("X-Api-Key", "%");
headers.append("Authorization", "Bearer %");
xhr.setRequestHeader("Authorization", "Bearer %");
fetch(u, { headers: { Authorization: "Bearer %" } });
localStorage.setItem("token", "%");
new Map([["password", "%"]]);
map.set("password", "%");
app.set("secret", "%");
if (password === "%") {}
if ("%" === password) {}
if (req.headers["x-api-key"] !== "%") {}
switch (password) { case "%": break; }
const password = "%h" + "%t";
const password = ["%h", "%t"].join("");
const password = "%h".concat("%t");
const el = <Login password="%" />;
const el = <Login password={"%"} />;
const el = <Login password={x || "%"} />;
const password = atob("%");
const password = useState("%");
const [password, setPassword] = useState("%");
const schema = { password: { type: String, default: "%" } };
setPassword("%");
client.setApiKey("%");
const password = await Promise.resolve("%");
const password = ((("%")));
const c = config.get("password", "%");
const c = { ...a, password: "%" };
const x = { headers: [["x-api-key", "%"]] };
var password = x && "%";
export const apiKey = "%";
export default { password: "%" };
const cfg = { key: "db_password", value: "%" };
const password = "%", user = "bob";
const password = process.env.X ? process.env.X : "%";
const password = x?.y ?? "%";
Object.defineProperty(o, "password", { value: "%" });
const password = String.raw`%`;
for (const password of ["%"]) {}
const password = "%".trim();
process.env.API_KEY = "%";
""",
    "typescript": r"""
const apiKey = ("%" as string) as ApiKey;
const apiKey: ApiKey | null | undefined = process.env.K ?? "%";
const cfg: Record<string, string> = { apiKey: "%" };
class A { private static apiKey?: string = process.env.K || "%"; }
export class A { constructor(private readonly http: H, @Inject() private apiKey = "%") {} }
const apiKey = <const>"%";
const enum E { ApiKey = "%" }
type T = { a: 1 }; const t: T & { apiKey: string } = { a: 1, apiKey: "%" };
const dbPassword: string = "%";
let dbPassword: string | undefined = "%";
const dbPassword: Readonly<string> = "%";
const dbPassword = <string>"%";
const dbPassword = "%" as string;
const dbPassword = "%" as const;
const dbPassword = "%" as unknown as Secret;
const dbPassword = "%" satisfies string;
const dbPassword = "%"!;
const dbPassword: Record<string, string> = { a: "%" };
const o: Config = { password: "%" };
const o = { password: "%" } as const;
const o = <Config>{ password: "%" };
class A { private readonly password: string = "%"; }
class A { static readonly API_KEY: string = "%"; }
class A { constructor(private password: string = "%") {} }
class A { @Column({ default: "%" }) password: string; }
class A { @Input() password?: string = "%"; }
function f(password: string = "%") {}
function f({ password = "%" }: Opts = {}) {}
const f = (password: string | null = "%") => 1;
enum Keys { API_KEY = "%" }
enum ApiKey { Prod = "%" }
const k: { password: string } = { password: x ?? "%" };
const dbPassword = (process.env.DB_PASSWORD as string) || "%";
const x = process.env.DB_PASSWORD! || "%";
const x = (process.env.DB_PASSWORD as string) ?? "%";
const m = new Map<string, string>([["password", "%"]]);
const dbPassword: () => string = () => "%";
abstract class A { protected apiKey: string | null = "%"; }
namespace N { export const password = "%"; }
declare module "m" { const password = "%"; }
const { password = "%" }: Env = env;
""",
    "tsx": r"""
const dbPassword: string | undefined = "%";
const el = <Login password={"%" as string} />;
const el = <Login password="%" />;
""",
    "java": r"""
Optional<String> token = Optional.<String>of("%");
String token = Optional.ofNullable(System.getenv("K")).filter(f).orElseGet(() -> "%");
String apiKey = (x == null) ? "%" : x;
String apiKey = StringUtils.defaultIfBlank(x, "%");
AtomicReference<String> token = new AtomicReference<>("%");
var creds = new UsernamePasswordCredentials("bob", "%");
final var apiKey = "%".intern();
headers.put("X-Api-Key", List.of("%"));
CompletableFuture<String> token = CompletableFuture.completedFuture("%");
String password = "%";
String password = new String("%");
Optional<String> password = Optional.of("%");
Optional<String> password = Optional.ofNullable("%");
final String password = "%";
char[] password = "%".toCharArray();
byte[] apiKey = "%".getBytes();
byte[] apiKey = "%".getBytes(StandardCharsets.UTF_8);
byte[] apiKey = Base64.getDecoder().decode("%");
String password = (String) "%";
String password = x != null ? x : "%";
String password = Optional.ofNullable(x).orElse("%");
String password = Optional.ofNullable(x).orElseGet(() -> "%");
String x = Optional.ofNullable(System.getenv("DB_PASSWORD")).orElse("%");
String x = System.getProperty("db.password", "%");
String x = System.getenv().getOrDefault("DB_PASSWORD", "%");
String x = Objects.requireNonNullElse(System.getenv("DB_PASSWORD"), "%");
String password = Objects.requireNonNullElse(x, "%");
String password = String.valueOf("%");
String password = String.format("%");
String password = <<triple>>\n    %\n    <<triple>>;
String password = "%h" + "%t";
String password = String.join("", "%h", "%t");
String password = new StringBuilder("%").toString();
String password = switch (x) { case 1 -> "%"; default -> null; };
String password = switch (x) { case 1: yield "%"; default: yield null; };
String user = "bob", password = "%";
String[] passwords = {"aa", "%"};
String[] passwords = new String[]{"%"};
List<String> passwords = List.of("%");
Map<String, String> m = Map.of("password", "%");
Map<String, String> m = Map.of("a", "b", "password", "%");
Map<String, String> m = Map.ofEntries(Map.entry("password", "%"));
m.put("password", "%");
m.put(PASSWORD, "%");
props.setProperty("db.password", "%");
props.setProperty(Constants.DB_PASSWORD, "%");
this.password = "%";
ds.setPassword("%");
ds.password("%");
Builder.create().withPassword("%").build();
Builder.create().apiKey("%").build();
request.addHeader("Authorization", "Bearer %");
request.header("X-Api-Key", "%");
if (password.equals("%")) {}
if ("%".equals(password)) {}
if ("%".equals(user.getPassword())) {}
if (password == "%") {}
switch (password) { case "%": break; }
Supplier<String> password = () -> "%";
var apiKey = new SecretKeySpec("%".getBytes(), "AES");
var token = UUID.fromString("%");
for (String password : List.of("%")) {}
String password = Strings.isNullOrEmpty(x) ? "%" : x;
var apiKey = ImmutableMap.of("prod", "%");
String password; password = "%";
String password = config.get("x", "%");
System.setProperty("db.password", "%");
""",
    "javaclass": r"""
@Value("${db.password:%}") String dbPassword;
@Value("${x:%}") private String dbPassword;
@Value("%") private String dbPassword;
@Value("#{systemProperties['db.password'] ?: '%'}") String p;
@ConfigProperty(name = "db.password", defaultValue = "%") String p;
@ConfigProperty(name = "p", defaultValue = "%") String dbPassword;
void f(@Value("${x:%}") String password) {}
@DataSource(user = "bob", password = "%") Object ds;
static final String API_KEY = "%";
private static final byte[] API_KEY = "%".getBytes();
String getPassword() { return "%"; }
public String password() { return x ? "%" : y; }
enum Keys { API_KEY("%"); }
enum ApiKey { PROD("%"); }
@interface Q { String password() default "%"; }
A() { super("bob", null); this.apiKey = "%"; }
record R(String a) { static final String PASSWORD = "%"; }
""",
    "go": r"""
var apiKey string = "%"
var apiKey = "%"
var apiKey = []byte("%")
var apiKey = string("%")
var apiKey = `%`
const apiKey = "%"
const User, Password = "bob", "%"
var user, password = "bob", "%"
var ( password = "%" )
const ( Password string = "%" )
var c = Config{Password: "%"}
var c = &Config{Db: Db{Password: "%"}}
var c = map[string]string{"password": "%"}
var c = map[string]string{PasswordKey: "%"}
var c = map[string]interface{}{"a": map[string]string{"password": "%"}}
var passwords = []string{"aa", "%"}
var passwords = map[string]string{"bob": "%"}
var c = []struct{ k, v string }{{"password", "%"}}
var apiKey = cmp.Or(os.Getenv("X"), "%")
var x = cmp.Or(os.Getenv("API_KEY"), "%")
var apiKey = "%h" + "%t"
var apiKey = strings.Join([]string{"%h", "%t"}, "")
var apiKey = ptr.To("%")
var apiKey = aws.String("%")
var apiKey = flag.String("k", "%", "usage")
var x = flag.String("api-key", "%", "usage")
var x = getEnv("API_KEY", "%")
var x = getEnvOrDefault("API_KEY", "%")
var apiKey = fmt.Sprintf("%")
var apiKey Secret = Secret("%")
type T struct { Password string `env:"PW" envDefault:"%"` }
type T struct { Password string `default:"%"` }
func password() string { return "%" }
func (c *C) APIKey() (string, error) { return "%", nil }
var getPassword = func() string { return "%" }
""",
    "gofunc": r"""
apiKey := getenvDefault("K", "%")
apiKey := func() string { return "%" }()
apiKey := lo.Ternary(x, "%", "")
cfg := &Config{Auth: &Auth{Token: aws.String("%")}}
token, ok := "%", true
if token == "" { token = "%" }
var token = Token{Value: "%"}
secret := template.HTML("%")
client := New(WithToken("%"))
t.Setenv("API_KEY", "%")
var apiKey, user = "%", "bob"
password := "%"
user, password := "bob", "%"
password, err := "%", error(nil)
password = "%"
c.Password = "%"
c.db.password = "%"
m["password"] = "%"
*password = "%"
password := []byte("%")
password := *flag.String("x", "%", "")
os.Setenv("API_KEY", "%")
viper.SetDefault("db.password", "%")
viper.Set("db.password", "%")
req.Header.Set("Authorization", "Bearer %")
req.Header.Add("X-Api-Key", "%")
c.SetPassword("%")
opt := WithPassword("%")
opt := WithAPIKey("%")
flag.StringVar(&p, "password", "%", "usage")
cmd.Flags().StringVarP(&p, "password", "p", "%", "usage")
if password == "%" { }
if "%" == password { }
if password != "%" { }
if subtle.ConstantTimeCompare([]byte(password), []byte("%")) == 1 { }
if strings.EqualFold(password, "%") { }
switch password { case "a", "%": }
for _, password := range []string{"%"} { }
if password := "%"; x { }
defer func(password string) {}("%")
q.Set("api_key", "%")
password := base64.StdEncoding.DecodeString("%")
""",
    "rust": r"""
const API_KEY: &str = "%";
static API_KEY: &[u8] = b"%";
static API_KEY: &'static str = r"%";
static API_KEY: Option<&str> = Some("%");
static API_KEY: LazyLock<String> = LazyLock::new(|| "%".to_string());
const PASSWORDS: [&str; 2] = ["a", "%"];
fn password() -> String { "%".to_string() }
fn password() -> &'static str { "%" }
fn password() -> String { return "%".into(); }
fn api_key() -> Option<String> { Some("%".to_owned()) }
fn api_key() -> Result<String, E> { Ok(String::from("%")) }
struct S { #[arg(long, default_value = "%")] password: String }
struct S { #[arg(long, env = "PW", default_value = "%")] pub api_key: String }
#[derive(Debug)] enum E { A } impl E { const API_KEY: &'static str = "%"; }
""",
    "rustfn": r"""
let api_key: Option<&'static str> = Some("%");
let token = std::env::var("K").ok().unwrap_or_else(|| String::from("%"));
let token = x.as_deref().unwrap_or("%");
let token = SecretString::new("%".into());
let token: Cow<'_, str> = Cow::Borrowed("%");
let token = if let Ok(v) = env::var("K") { v } else { "%".to_string() };
let client = Client::new("u").with_token("%".to_string());
let cfg = Config { auth: Auth { token: String::from("%") } };
static TOKEN: OnceLock<String> = OnceLock::new(); TOKEN.get_or_init(|| "%".into());
let token = Bytes::from_static(b"%");
let token = <String as From<&str>>::from("%");
let token = match env::var("K") { Ok(v) => v, Err(_) => { warn!("x"); "%".into() } };
headers.insert("x-api-key", HeaderValue::from_static("%"));
let token = &*"%";
let db_password: &str = "%";
let db_password = String::from("%");
let db_password = r#"%"#;
let db_password = r##"%"##;
let db_password = br#"%"#;
let db_password = b"%";
let db_password = c"%";
let db_password = "%".to_string();
let db_password = "%".to_owned();
let db_password: String = "%".into();
let db_password = String::from("%").into_bytes();
let db_password = Some("%");
let db_password = Some(String::from("%"));
let db_password = Box::new("%");
let db_password = Arc::new(String::from("%"));
let db_password = Secret::new("%".to_string());
let db_password = SecretString::from("%");
let db_password = "%" as &str;
let db_password = &b"%"[..];
let db_password = x.unwrap_or("%");
let db_password = x.unwrap_or("%".into());
let db_password = x.unwrap_or_else(|| "%".to_string());
let db_password = x.unwrap_or_else(|_| { "%".to_string() });
let api_key = env::var("API_KEY").unwrap_or("%".into());
let x = env::var("API_KEY").unwrap_or("%".into());
let x = std::env::var("API_KEY").unwrap_or_else(|_| "%".to_string());
let x = option_env!("API_KEY").unwrap_or("%");
let db_password = x.or(Some("%"));
let db_password = x.map_or("%", |v| v);
let db_password = if y { "%" } else { z };
let db_password = if y { z } else { "%" };
let db_password = match y { 1 => "%", _ => z };
let db_password = match y { Ok(v) => v, Err(_) => "%".to_string() };
let db_password = { let _ = 1; "%" };
let db_password = concat!("%h", "%t");
let db_password = ["%h", "%t"].concat();
let db_password = ["%h", "%t"].join("");
let db_password = format!("%");
let db_password = vec!["%"];
let (user, db_password) = ("bob", "%");
let Some(db_password) = Some("%");
let mut db_password = "%";
let s = Config { password: "%".into(), ..Default::default() };
let s = Config { password: Some("%".to_string()) };
let s = json!({"password": "%"});
let s = json!({"a": {"password": "%"}});
let s = hashmap!{"password" => "%"};
let s = maplit::hashmap!{"password".to_string() => "%".to_string()};
let s = HashMap::from([("password", "%")]);
let s = vec![("password", "%")];
s.password = "%".to_string();
self.password = String::from("%");
m.insert("password", "%");
m.insert("password".to_string(), "%".to_string());
m["password"] = "%";
env::set_var("API_KEY", "%");
c.set_password("%");
let c = Client::builder().password("%").build();
let c = Client::builder().api_key(String::from("%")).build();
let r = req.header("X-Api-Key", "%");
let r = req.header("Authorization", format!("Bearer {}", "%"));
if password == "%" {}
if "%" == password {}
if password.eq("%") {}
if user.password.as_str() == "%" {}
match password { "%" => 1, _ => 2 };
match password.as_str() { "%" => 1, _ => 2 };
if let Some("%") = password {}
for password in ["%"] {}
let db_password = password_or("%");
let c = Credentials { user: "bob", password: "%" };
let k = ApiKey("%".into());
let k = ApiKey::new("%");
""",
}

FRAMES = {
    "python": ("a.py", "{}\n"),
    "javascript": ("a.js", "{}\n"),
    "typescript": ("a.ts", "{}\n"),
    "tsx": ("a.tsx", "{}\n"),
    "java": ("A.java", "class A { void f() {\n{}\n} }\n"),
    "javaclass": ("A.java", "class A {\n{}\n}\n"),
    "go": ("a.go", "package a\n{}\n"),
    "gofunc": ("a.go", "package a\nfunc f() {\n{}\n}\n"),
    "rust": ("a.rs", "{}\n"),
    "rustfn": ("a.rs", "fn f() {\n{}\n}\n"),
}
"""Path of a file, and what is around a form in it."""


def cases() -> list[tuple[str, str]]:
    """Path and text of each form."""
    return [
        (path, frame.replace("{}", line.replace("<<triple>>", '"' * 3).replace("\\n", "\n")))
        for kind, (path, frame) in FRAMES.items()
        for line in FORMS[kind].strip("\n").split("\n")
    ]
