"""Secrets in the files of settings, command lines, statements and literals where they stand.

All values are made up; a passphrase of plain words is what a person chooses.
"""

import base64
import hashlib

import pytest

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings

_SHORT = "kT9x2QvLw8Zr4Ns6"
_LONG = "9fQx27LmZt0RbY4kWc8VsJ1pHd6NgE3u"
_HEX = "c41f9e0b7da2386f50e1b94dc7a3f286"

TRUE = [
    (".env", "DB_PASSWORD=harbour42"),
    (".env", 'DB_PASSWORD="harbour42"'),
    (".env", "MAIL_PASSWORD='lantern!bay'"),
    ("a.env", "export REDIS_PASS=walrus77"),
    (".env", f"APP_KEY=base64:{_LONG}{_SHORT}="),
    (".env", f"JWT_SECRET={_HEX}"),
    ("config.yml", "database:\n  host: db.acme.dev\n  username: app\n  password: harbour42\n"),
    ("config.yml", "database:\n  host: db.acme.dev\n  port: 5432\n  user: app\n  password: lanternbay\n"),
    ("k.yaml", 'env:\n  - name: DB_PASSWORD\n    value: "harbour42"\n'),
    ("secret.yaml", "kind: Secret\ndata:\n  password: bGFudGVybi1iYXktNw==\n"),
    ("secret.yaml", "apiVersion: v1\nkind: Secret\nstringData:\n  db-pass: walrus-77-bay\n"),
    ("k.yaml", f"private_key: |\n  {_LONG}{_SHORT}\n  {_SHORT}{_LONG}\n"),
    ("k.yaml", f"api_token: >-\n  {_LONG}\n"),
    ("a.json", '{"password": "harbour42"}'),
    ("a.json", '{"host": "ftp.acme.dev", "user": "deploy", "pass": "swordfish"}'),
    ("a.json", '{"key": "db_password", "value": "harbour42"}'),
    ("a.json", f'{{"name": "API_SECRET", "type": "text", "value": "{_LONG}"}}'),
    ("a.json", '{\n "username": "admin",\n "password": "lanternbay",\n "port": 22, "host": "x.acme.dev"\n}'),
    ("a.xml", "<password>harbour42</password>"),
    ("a.xml", '<Pass encoding="base64">bGFudGVybi1iYXktNw==</Pass>'),
    ("a.xml", '<property name="password">harbour42</property>'),
    ("a.xml", '<property name="db.password" value="harbour42"/>'),
    ("a.xml", '<entry key="db.password">walrus-77-bay</entry>'),
    ("a.xml", '<connection host="db" port="1521" user="app" password="lanternbay9"/>'),
    ("a.xml", '<bean><property name="password"><value>harbour42</value></property></bean>'),
    ("a.xml", "<password><![CDATA[harb&our42]]></password>"),
    ("a.plist", "<key>Password</key>\n\t<string>harbour42</string>"),
    ("a.plist", f"<key>API_KEY</key><string>{_LONG}</string>"),
    (
        "web.config",
        '<add name="Db" connectionString="Data Source=db.acme.dev;Initial '
        'Catalog=shop;User ID=app;Password=harbour42;" />',
    ),
    ("web.config", 'connectionString="Server=db;Database=shop;Uid=app;Pwd=lanternbay;"'),
    ("a.cs", 'var c = "Server=tcp:db.acme.dev,1433;User ID=app;Password=Lantern#Bay;Encrypt=True";'),
    (
        "a.cs",
        f'"Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={_LONG}kT9x2QvLw8Z="',
    ),
    (
        "a.py",
        f'"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={_LONG}{_LONG}9fQx27LmZt0RbY4kWc8VsJ==;EndpointSuffix=core.windows.net"',
    ),
    ("a.java", 'DriverManager.getConnection("jdbc:mysql://db.acme.dev/shop?user=app&password=harbour42")'),
    ("a.java", 'DriverManager.getConnection("jdbc:mysql://db.acme.dev/shop", "app", "harbour42!")'),
    ("a.java", "jdbc:oracle:thin:app/harbour42@db.acme.dev:1521/orcl"),
    ("a.py", '"host=db.acme.dev user=app password=harbour42 dbname=shop"'),
    ("a.py", "mongodb+srv://app:lantern-bay@cluster0.acme.mongodb.net/shop"),
    ("a.py", "redis://:harbour42@cache.acme.dev:6379/0"),
    ("a.py", "amqp://app:harbour@mq.acme.dev/"),
    ("a.properties", "spring.datasource.password=harbour42"),
    ("a.properties", "spring.datasource.password = lantern-bay-7"),
    ("a.properties", "db.password: harbour42"),
    ("a.properties", "mail.password harbour42"),
    ("a.properties", "api.secret=9fQx27LmZt0R\\\n    bY4kWc8VsJ1pHd6NgE3u"),
    ("a.ini", "[client]\nuser = root\npassword = harbour42\n"),
    ("a.ini", "[client]\nuser=root\npassword=lanternbay\nhost=db\n"),
    ("a.toml", 'password = "harbour42"'),
    ("a.cfg", "[distutils]\nusername: acme\npassword: lantern-bay-7\n"),
    (".npmrc", "//registry.acme.dev/:_password=bGFudGVybi1iYXktNw=="),
    (".npmrc", f"//registry.acme.dev/:_authToken={_LONG}"),
    (".npmrc", "_auth = ZGVwbG95OmhhcmJvdXI0Mg=="),
    (".netrc", "machine api.acme.dev login deploy password harbour42"),
    (".netrc", "machine api.acme.dev\n  login deploy\n  password lantern-bay"),
    (".pgpass", "db.acme.dev:5432:shop:app:harbour42"),
    (".htpasswd", "deploy:$apr1$kT9x2QvL$w8Zr4Ns6Hb3Yc7Jd1Pf5Mg"),
    (".htpasswd", f"deploy:{{SHA}}{_SHORT}Hb3Yc7Jd1Pf="),
    ("shadow", f"deploy:$6${_SHORT}${_LONG}{_LONG}9fQx27LmZt0RbY4kWc8Vs.:17431:0:99999:7:::"),
    ("a.sql", f"INSERT INTO u VALUES ('bob', '$2y$10${_SHORT}Hb3Yc.7Jd1Pf5Mg9fQx27LmZt0RbY4kWc8Vsu');"),
    ("a.sql", "CREATE USER app WITH PASSWORD 'harbour42';"),
    ("a.sql", "CREATE USER app IDENTIFIED BY 'lanternbay';"),
    ("a.sql", "ALTER USER 'app'@'%' IDENTIFIED WITH mysql_native_password BY 'Harbour!42';"),
    ("a.sql", "ALTER ROLE app PASSWORD 'harbour42'"),
    ("a.sql", "ALTER LOGIN app WITH PASSWORD = N'harbour42'"),
    ("a.sql", "SET PASSWORD FOR 'app'@'localhost' = PASSWORD('harbour42');"),
    ("a.sql", "create user app identified by harbour42;"),
    ("a.sql", "INSERT INTO users (id, name, password, mail) VALUES (1, 'ann', 'harbour42', 'x');"),
    ("a.sql", "INSERT INTO `users` (`id`, `login`, `pass`) VALUES\n(1, 'ann', 'harbour42'),\n(2, 'bo', 'walrus77');"),
    ("a.sql", "UPDATE users SET password = 'harbour42' WHERE id = 1;"),
    ("a.sh", "mysql -u root -pharbour42 shop"),
    ("a.sh", "mysql -uroot -p'lantern bay' shop"),
    ("a.sh", "mysqldump --user=root --password=harbour42 shop"),
    ("a.sh", "sshpass -p harbour42 ssh deploy@host"),
    ("a.sh", "sshpass -p 'lanternbay' scp a b"),
    ("a.sh", "PGPASSWORD=harbour42 psql -h db"),
    ("a.sh", 'export PGPASSWORD="lanternbay9"; psql'),
    ("a.sh", "docker login -u deploy -p harbour42 registry.acme.dev"),
    ("a.sh", "redis-cli -h cache -a harbour42 ping"),
    ("a.sh", "openssl rsa -in k.pem -passin pass:harbour42"),
    ("a.sh", "curl -u deploy:lantern-bay https://x"),
    ("a.sh", "wget --user=deploy --http-password=harbour42 https://x"),
    ("a.sh", 'echo "harbour42" | sudo -S apt update'),
    ("a.sh", 'echo "root:harbour42" | chpasswd'),
    ("a.sh", "ldapsearch -x -D cn=admin -w harbour42 -b dc=x"),
    ("a.sh", "htpasswd -b -c .htpasswd deploy harbour42"),
    ("a.sh", f"az login --service-principal -u x -p {_LONG}"),
    ("a.ps1", '$p = ConvertTo-SecureString "harbour42" -AsPlainText -Force'),
    ("a.ps1", 'ConvertTo-SecureString -String "Lantern Bay 7" -AsPlainText'),
    ("a.bat", "net use \\\\srv\\share harbour42! /user:app"),
    ("a.bat", "set DB_PASSWORD=harbour42"),
    ("Dockerfile", "ENV MYSQL_ROOT_PASSWORD harbour42"),
    ("Dockerfile", f"ARG TOKEN={_LONG}"),
    ("Dockerfile", 'RUN echo "app:lantern7bay" | chpasswd'),
    ("a.http", f"Authorization: Bearer {_LONG}"),
    ("a.http", f"X-Auth-Token: {_LONG}"),
    ("a.http", f"Authorization: Token {_HEX}"),
    ("a.http", f"Authorization: ApiKey {_LONG}"),
    ("a.http", f"Cookie: sessionid={_LONG}"),
    ("a.http", "Proxy-Authorization: Basic ZGVwbG95OmhhcmJvdXI0Mg=="),
    ("a.js", f"headers: {{ 'Authorization': 'Bearer ' + '{_LONG}' }}"),
    ("a.js", f"headers.set('x-api-key', '{_LONG}')"),
    ("a.js", "const token = 'kT9x2QvLw8' + 'Zr4Ns6Hb3Y' + 'c7Jd1Pf5Mg';"),
    ("a.js", "const apiKey = 'kT9x2Qv' +\n  'Lw8Zr4N' +\n  's6Hb3Yc7';"),
    ("a.js", "const apiKey = ['kT9x2Qv', 'Lw8Zr4N', 's6Hb3Yc7'].join('');"),
    ("a.py", 'API_KEY = ("kT9x2QvLw8"\n           "Zr4Ns6Hb3Yc7Jd1")'),
    ("a.py", 'API_KEY = "kT9x2QvLw8" \\\n  "Zr4Ns6Hb3Yc7Jd1"'),
    ("a.py", 'secret = "kT9x2Q" + "vLw8Zr"+ "4Ns6Hb3"'),
    ("a.java", 'String password = "har" + "bour" + "!42";'),
    ("a.php", "$config['db']['password'] = 'harbour!42';"),
    ("a.php", "define('DB_PASSWORD', 'harbour!42');"),
    ("a.php", "'password' => 'harbour!42',"),
    ("a.go", 'Password: "harbour!42",'),
    ("a.go", 'os.Setenv("DB_PASSWORD", "harbour!42")'),
    ("a.rb", 'password: "harbour!42"'),
    ("a.py", 'connect("db", user="app", passwd="harbour!42")'),
    ("a.py", '{"auth": ("deploy", "harbour!42")}'),
    ("a.py", 'requests.get(u, auth=("deploy", "harbour!42"))'),
    ("a.py", 'HTTPBasicAuth("deploy", "harbour!42")'),
    ("a.groovy", 'password "harbour!42"'),
    ("a.gradle", 'credentials {\n username "app"\n password "harbour42"\n}'),
    ("a.tf", 'variable "db_password" {\n  type = string\n  default = "harbour42"\n}'),
    ("a.tfvars", 'db_password = "harbour42"'),
    (
        "a.py",
        'key_b64 = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JSUV2Z0lCQURBTk'
        'Jna3Foa2lHOXcwQkFRRUZBQVNDQktnd2dnU2tBZ0VBQW9JQkFRQzc="',
    ),
    ("a.log", f"\x1b[93mghp_{_SHORT}Hb3Yc7Jd1Pf5Mg9fQx27\x1b[0m"),
    ("a.md", "Password: harbour42"),
    ("a.md", "user: deploy\npassword: lantern-bay-7"),
    ("a.js", f"https://x.acme.dev/?a=1%26token%3D{_LONG}"),
    ("a.js", f"https://x.acme.dev/?a=1&amp;api_key={_LONG}"),
    ("a.ovpn", "<auth-user-pass>\ndeploy\nharbour42\n</auth-user-pass>"),
    ("a.txt", "SUAKT4X2QVLW7ZR4NS6HB3YC7JD2PF5MGKT4X2QVLW7ZR4NS6HB3YC7J23"),
    ("a.key", f"-----BEGIN OPENSSH PRIVATE KEY-----\n{_LONG}{_LONG}\n{_LONG}\n-----END OPENSSH PRIVATE KEY-----"),
    (
        "a.c",
        f'const char *key = "-----BEGIN RSA PRIVATE KEY-----\\n"\n"{_LONG}{_LONG}'
        f'\\n"\n"{_LONG}{_LONG}\\n"\n"-----END RSA PRIVATE KEY-----\\n";',
    ),
    ("hosts", "web1 ansible_user=app ansible_ssh_pass=harbour42"),
    ("a.sh", "kubectl create secret generic db --from-literal=password=harbour42"),
    ("a.sh", "docker run -e DB_PASSWORD=harbour42 app"),
    ("a.sh", "java -Ddb.password=harbour42 -jar a.jar"),
    ("a.sh", "helm install x --set db.password=harbour42"),
    ("a.sh", "keytool -storepass harbour42 -alias x"),
    ("a.sh", "sqlplus app/harbour42@db.acme.dev"),
    ("a.sh", 'curl -d "username=deploy&password=harbour42" https://x.acme.dev'),
    ("a.sh", 'curl -d \'{"user": "deploy", "password": "harbour42"}\' https://x'),
    ("a.sh", f'curl -H "PRIVATE-TOKEN: {_LONG}" https://x'),
    ("a.sh", "smbclient //srv/share -U deploy%harbour42"),
    ("a.fish", "set -x DB_PASSWORD harbour42"),
    ("compose.yml", "    environment:\n      - MYSQL_ROOT_PASSWORD=harbour42\n"),
    ("compose.yml", "      MYSQL_ROOT_PASSWORD: harbour42\n"),
    ("wpa.conf", 'network={\n  ssid="x"\n  psk="harbour42"\n}'),
    ("redis.conf", "requirepass harbour42"),
    ("ldap.conf", "bindpw harbour42"),
    ("slapd.ldif", f"olcRootPW: {{SSHA}}{_SHORT}Hb3Yc7Jd1Pf5Mg9f"),
    ("router.cfg", "username admin password 7 094F471A1A0A"),
    ("router.cfg", "enable secret 5 $1$kT9x$w8Zr4Ns6Hb3Yc7Jd1Pf5M."),
    ("a.php", "mysqli_connect('db', 'app', 'harbour42', 'shop');"),
    ("a.php", "new PDO('mysql:host=db', 'app', 'harbour42!');"),
    ("a.py", 'smtp.login("deploy@acme.dev", "harbour42")'),
    ("a.py", 'ssh.connect(host, username="app", password="harbour42")'),
    ("a.java", 'new UsernamePasswordCredentials("app", "harbour42")'),
    ("a.java", 'new PasswordAuthentication("app", "harbour42".toCharArray())'),
    ("a.java", 'ds.setPassword("harbour42");'),
    ("a.cs", 'new NetworkCredential("app", "harbour42")'),
    ("a.go", 'req.SetBasicAuth("app", "harbour42")'),
    ("a.js", "auth: { user: 'app', pass: 'harbour42' }"),
    ("a.md", "- Password: `harbour42`"),
    ("a.log", "2024 INFO login user=app password=harbour42 ok"),
    ("a.log", '{\\"password\\":\\"harbour42\\"}'),
    ("a.yml", "passwords:\n  - harbour42\n"),
    ("a.html", '<input type="password" name="pw" value="harbour42">'),
    ("a.pl", "my $password = 'harbour42';"),
    ("a.vb", 'Dim password As String = "harbour42"'),
    ("a.kt", 'val password: String = "harbour42"'),
    ("a.swift", 'let password = "harbour42"'),
    ("a.r", 'password <- "harbour42"'),
    ("a.clj", ':password "harbour42"'),
    ("a.el", '(setq password "harbour42")'),
    ("a.m", 'NSString *password = @"harbour42";'),
    ("a.c", '#define PASSWORD "harbour42"'),
    ("a.c", 'static const char password[] = "harbour42";'),
    ("Makefile", "PASSWORD := harbour42"),
    ("a.url", f"https://acme.blob.core.windows.net/c?sv=2022&sig={_LONG}kT9x2QvLw8%3D"),
    ("jwk.json", f'{{"kty":"oct","k":"{_LONG}"}}'),
    ("a.asc", f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{_LONG}{_LONG}\n{_LONG}\n-----END PGP PRIVATE KEY BLOCK-----"),
    (
        "a.key",
        f"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: x\n{_LONG}{_LONG}"
        f"\n{_LONG}\n---- END SSH2 ENCRYPTED PRIVATE KEY ----",
    ),
    ("a.yml", "client_secret: shop-secret-42-tide"),
    (".env", "SECRET_KEY=walrus-bay-77-lantern"),
    ("a.properties", "api.token=harbour42walrus"),
    ("a.json", '{"client_secret": "harbour-42-walrus"}'),
    ("a.xml", "<secret>harbour42walrus</secret>"),
    ("a.yml", 'token: "9fQx27LmZt0R"'),
    ("a.xml", f'<appSettings><add key="ApiSecret" value="{_SHORT}" /></appSettings>'),
    ("a.conf", f"proxy_set_header X-Api-Key {_LONG};"),
    ("a.conf", f"set $apikey {_LONG};"),
    ("a.plist", f"<key>clientSecret</key>\n  <string>{_SHORT}</string>"),
    ("a.ipynb", '"password = \\"harbour42\\"\\n",'),
    ("a.diff", "+DB_PASSWORD=harbour42"),
    ("a.py", "PASSWORD = r'harbour42'"),
    ("a.py", 'os.environ["DB_PASSWORD"] = "harbour42"'),
    ("a.py", 'os.environ.setdefault("DB_PASSWORD", "harbour42")'),
    ("a.rb", 'ENV["DB_PASSWORD"] ||= "harbour42"'),
    ("a.rb", 'config.password = "harbour42"'),
    ("a.js", 'process.env.DB_PASSWORD || "harbour42"'),
    ("a.ts", 'password?: string = "harbour42";'),
    ("a.scala", 'val password = "harbour42"'),
    ("a.rs", 'let password: &str = "harbour42";'),
    ("a.sql", "EXEC sp_addlogin 'app', 'harbour42'"),
    ("a.sql", 'GRANT ALL ON shop.* TO app@localhost IDENTIFIED BY "harbour42";'),
    ("a.sql", "INSERT INTO settings (name, value) VALUES ('smtp_password', 'harbour42');"),
    ("a.ini", "; backup\nsmtp_pass = harbour42 ; old one"),
    ("a.toml", f'[registry]\ntoken = "Bearer {_LONG}"'),
    ("a.http", "Cookie: JSESSIONID=C41F9E0B7DA2386F50E1B94DC7A3F286"),
    ("a.http", f"Set-Cookie: auth_token={_LONG}; Path=/"),
]
FALSE = [
    ("de.json", '{"username": "Benutzername", "password": "Passwort", "forgot": "Passwort vergessen?"}'),
    ("de.properties", "login.password=Passwort\nlogin.user=Benutzer"),
    ("a.yml", "password:\n  type: string\n  format: password"),
    ("a.yml", "password: ${DB_PASSWORD}"),
    ("a.yml", "password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6638643965323633646262656665"),
    ("a.py", "password = input1"),
    ("a.py", "token = token2"),
    ("a.py", "def f(password: str1): pass"),
    ("a.yml", "token: token_1"),
    ("a.yml", "password_hash: sha256"),
    ("a.json", '{"password": "pass1"}'),
    ("a.json", '{"password": "test123"}'),
    ("a.json", '{"tokens": "^1.2.3", "passport": "^0.4.1", "password-prompt": "~2.0.1"}'),
    ("a.html", '<input type="password" name="password" id="password1">'),
    ("a.html", '<label for="password1">Password</label>'),
    ("a.sh", "mkdir -p build2/out"),
    ("a.sh", "docker run -p 8080:80 nginx1"),
    ("a.sh", "mysql -u root -p shop"),
    ("a.sh", "mysql -p$PASS"),
    ("a.sh", "cp -pr a b; ssh -p 2222 host"),
    ("a.py", 'parser.add_argument("-p", "--password", help="x")'),
    ("a.sql", "CREATE TABLE users (id int, password varchar(64));"),
    ("a.sql", "INSERT INTO t (name, password) VALUES (?, ?)"),
    ("a.sql", "SELECT password FROM users WHERE name = 'harbour42'"),
    ("a.py", '"INSERT INTO users (name, password) VALUES (%s, %s)" % (a, b)'),
    ("a.md", "the workspace is identified by `label2`."),
    ("a.py", "identified by [tool.uv.workspace] in"),
    ("a.py", 'create_engine("postgresql://scott:tiger@localhost/test")'),
    ("a.py", "key: ed25519.Ed25519PublicKey"),
    ("a.py", '"password": "string?",'),
    ("a.css", ".key { color: #a1b2c3 }"),
    ("a.js", "tokens: [TokenType1, TokenType2]"),
    ("a.yml", "secretName: my-app-tls2"),
    ("a.yml", "key: node-role.kubernetes.io/master1"),
    ("a.properties", "key.store=keystore1.jks"),
    ("a.env", "KEYCLOAK_VERSION=21.1.2"),
    ("a.env", "PASSWORD_MIN_LENGTH=12"),
    ("a.env", "API_URL=https://api2.acme.dev"),
    ("a.ini", "token_type = bearer2"),
    ("a.java", 'private static final String PASSWORD_PARAM = "password2";'),
    ("a.java", '@Value("${db.password}") String password;'),
    ("a.xml", "<artifactId>password4j</artifactId>"),
    ("a.xml", "<key>kern1</key>"),
    ("a.xml", '<string name="password">Password</string>'),
    ("a.rst", "``$6$`` or ``$2y$`` prefixes"),
    ("a.ps1", "ConvertTo-SecureString $env:PASS -AsPlainText"),
    ("a.pgpass", "*:*:*:*:*"),
    ("a.js", '"a" + "b"'),
    ("a.js", 'const tokenName = "access" + "Token"'),
    ("a.py", 'password = "abc" + variable + "def1!x"'),
    ("a.py", "smtp.login(user, password)"),
    ("a.py", 'x.login("a", "b")'),
    ("a.py", 'assert f("password1", "secret2")'),
    ("a.md", "| password | string | required |"),
    ("a.md", "- Password: `string`"),
    ("a.csv", "user,password\n"),
    ("a.sh", "docker run -e DB_PASSWORD=$DB_PASSWORD app"),
    ("a.sh", "java -Ddb.password=${PW} -jar a.jar"),
    ("a.html", '<input type="password" name="pw" value="{{ pw }}">'),
    ("a.html", '<input type="password" id="password2" placeholder="Password">'),
    ("a.log", "token=abc password=*** ok"),
    ("a.yml", "secretName: tls-cert-v2"),
    ("a.tf", "secret_id = aws_secret.db2.id"),
    ("a.yml", "key: app.kubernetes.io/name"),
    ("a.xml", "<key>item42name</key>"),
    ("a.css", "--token-color-42: red"),
    ("a.json", '{"token": "T_STRING2"}'),
    ("a.json", '{"tokens": "4096"}'),
    ("a.py", 'TOKEN = "token_2"'),
    ("a.js", 'const key = "user42"'),
    # names that say that their value is none
    ("a.go", 'nonMatchingToken := "1dcr8ljeu62pqx6w"'),
    ("a.py", 'invalid_api_key = "hh5tuiuwjyz7j89i"'),
    ("a.yml", "fake_password: harbour42"),
    # published, encoded and typed examples
    ("a.txt", "AIza" + "SyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe"),
    ("a.go", 'h.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")'),
    ("a.rs", '"Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="'),
    ("a.txt", '"token": "xoxp-1234-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d"'),
    ("a.ini", "telegram_token = 7926:A-vw5xpvgkoua7uqqy8_x-up3n56mj8vmnf"),
    # code that line patterns would take for names with values
    ("a.py", "def login(self) -> tuple[PyKCS11.Session, PyKCS11.PyKCS11Lib]:\n    pass\n"),
    ("a.py", "pass_scheme = x9_63_scheme + (3, )\n"),
    ("a.py", "NAMES = [\n    'gpibPassControl', 'viGpibSendIFC1',\n]\n"),
    ("a.py", "# First pass: decided_mask==0, every element takes part.\n"),
    ("a.js", "o.key=e.altKey?r.C0.ESC+r.C0.CR:r.C0.DC3;"),
    ("a.js", 'throw Error(`no token "${n[i].toSource()}" here`);'),
    ("a.java", "assertThat(getAuthentication()).isSameAs(dog42);"),
    ("a.py", 'url = "https://foo.com:123,foo:bar@bar.com/path"'),
]


def _secrets(path: str, text: str, settings: PrivacySettings) -> list[str]:
    spans = spans_of(text, path, settings)
    return [text[span.start : span.end] for span in spans if span.category == "secret"]


@pytest.mark.parametrize(("path", "text"), TRUE)
def test_what_is_set_is_found(path: str, text: str, settings: PrivacySettings) -> None:
    assert _secrets(path, text, settings)


@pytest.mark.parametrize(("path", "text"), FALSE)
def test_names_and_samples_are_not(path: str, text: str, settings: PrivacySettings) -> None:
    assert _secrets(path, text, settings) == []


@pytest.mark.parametrize(("path", "text"), TRUE)
def test_what_is_found_is_gone_after_one_redaction(path: str, text: str, settings: PrivacySettings) -> None:
    redacted = redact_text(text, path, None, settings, b"k" * 16).text
    assert redacted.count("\n") == text.count("\n")
    assert spans_of(redacted, path, settings) == []


def test_every_literal_of_a_split_secret_is_found(settings: PrivacySettings) -> None:
    parts = [_LONG[:9], _LONG[9:20], _LONG[20:]]
    text = "const apiKey = '" + "' +\n  '".join(parts) + "';"
    assert _secrets("a.js", text, settings) == parts


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("key.yaml", "private_key: |\n  {}\nnext: 1\n"),
        ("key.py", 'PRIVATE_KEY = """\n{}\n"""\n'),
        ("key.js", "const privateKey = `\n{}`\n"),
    ],
)
def test_every_line_of_a_key_without_a_frame_is_found(path: str, form: str, settings: PrivacySettings) -> None:
    digests = (hashlib.sha384(str(number).encode()).digest() for number in range(4))
    lines = [base64.b64encode(digest).decode() for digest in digests]
    lines.append(lines[0][:11] + "=")
    assert _secrets(path, form.format("\n  ".join(lines)), settings) == lines


@pytest.mark.parametrize("value", ["mR7kw&Tv9", "mR7kw,Tv9+x;Lq2!"])
def test_a_bare_password_ends_with_its_line_where_only_settings_are(value: str, settings: PrivacySettings) -> None:
    assert _secrets("a.env", f"DB_PASSWORD={value}\n", settings) == [value]
    assert _secrets("a.properties", f"db.password: {value}\n", settings) == [value]


def test_signs_of_the_shell_of_lists_and_of_queries_end_it(settings: PrivacySettings) -> None:
    assert _secrets("a.sh", "DB_PASSWORD=mR7kwTv9&start\n", settings) == ["mR7kwTv9"]
    assert _secrets("a.conf", "password_encryption = md5,sha256\n", settings) == []
    assert _secrets("a.env", "password=mR7kwTv9&user=kim\n", settings) == ["mR7kwTv9"]


def test_every_row_that_is_inserted_is_looked_at(settings: PrivacySettings) -> None:
    rows = ", ".join(f"({number}, 'it''s (x), y', 'walrus7{number}')" for number in range(9))
    text = f"INSERT INTO users (id, note, password) VALUES {rows};"
    assert _secrets("a.sql", text, settings) == [f"walrus7{number}" for number in range(9)]


def test_a_word_with_a_number_is_a_name_in_code_and_a_password_in_settings(settings: PrivacySettings) -> None:
    assert _secrets("a.py", "password = harbour42", settings) == []
    assert _secrets("a.ini", "password = harbour42", settings) == ["harbour42"]
