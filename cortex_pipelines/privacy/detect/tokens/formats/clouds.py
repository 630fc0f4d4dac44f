"""Token formats of clouds, hosting and vaults."""

from cortex_pipelines.privacy.detect.tokens.checksums import random_looking, very_random
from cortex_pipelines.privacy.detect.tokens.format import LONE, UUID, declare

FORMATS = (
    declare("aws-access-key", "AKIA ASIA ABIA ACCA AGPA AIDA AROA AIPA ANPA ANVA", "[A-Z0-9]{16}"),
    declare("aws-access-key", "A3T", "[A-Z0-9]{17}", random_looking),
    declare("aws-bedrock-key", "ABSK", "[A-Za-z0-9+/]{109,269}={0,2}", end="(?![A-Za-z0-9+/=])"),
    declare(
        "aws-bedrock-key", "bedrock-api-key-", "YmVkcm9jay5hbWF6b25hd3MuY29t[A-Za-z0-9+/=]*", end=""
    ),
    declare("aws-marketplace-key", "amzn.mws.", "[0-9a-z]{8}(?:-[0-9a-z]{4}){3}-[0-9a-z]{12}"),
    declare("amazon-oauth-secret", "amzn1.oa2-cs.v1.", "[0-9a-f]{64}"),
    declare("google-api-key", "AIza", r"[\w-]{35}", random_looking, LONE),
    declare("google-oauth-secret", "GOCSPX-", r"[\w-]{28}", end=LONE),
    declare("google-oauth-token", "ya29.", r"[\w-]{40,1000}", end=""),
    declare("google-oauth-refresh-token", "1//0", r"[\w-]{40,150}", random_looking, LONE),
    declare(
        "azure-entra-secret", "", r"[\w~.]{3}\dQ~[\w~.-]{31,34}", end=r"(?![\w~.-])", inside="Q~"
    ),
    declare("alibaba-access-key", "LTAI", "[A-Za-z0-9]{12,20}", very_random),
    declare("tencent-secret-id", "AKID", "[A-Za-z0-9]{32}", very_random),
    declare("tencent-wechat-app", "wx", "[a-f0-9]{16}", random_looking),
    declare("digitalocean-token", "dop_v1_ doo_v1_ dor_v1_", "[a-f0-9]{64}"),
    declare("fly-token", "fo1_", r"[\w-]{43}", random_looking, LONE),
    declare("fly-token", "fm1r_ fm1a_ fm2_", "[A-Za-z0-9+/]{100,}={0,3}", end=""),
    declare("heroku-key", "HRKU-", rf"[\w-]{{58,60}}|{UUID}", end=""),
    declare("cloudflare-origin-key", "v1.0-", "[a-f0-9]{24}-[a-f0-9]{146}"),
    declare("cloudflare-token", "cfut_ cfat_ cfk_", "[A-Za-z0-9]{40,60}", random_looking),
    declare("databricks-token", "dapi dose dkea", "[a-f0-9]{32}(?:-[0-9])?"),
    declare("scaleway-key", "SCW", "[A-Z0-9]{17}", random_looking),
    declare("scalingo-token", "tk-us-", r"[\w-]{48}", end=LONE),
    declare("planetscale-token", "pscale_tkn_ pscale_pw_ pscale_oauth_", r"[\w=.-]{32,64}"),
    declare("supabase-key", "sbp_", "(?:v0_)?[a-f0-9]{40}"),
    declare("supabase-key", "sb_secret_", r"[\w-]{30,40}"),
    declare("netlify-token", "nfp_ nfc_ nfo_ nfu_ nfb_", "[A-Za-z0-9]{36}"),
    declare("vercel-token", "vcp_ vci_ vca_ vcr_ vck_", "[A-Za-z0-9]{40,60}"),
    declare("linode-token", "lin_pat_", "[a-f0-9]{64}"),
    declare("yandex-key", "AQVN", r"[\w-]{35,38}", very_random, LONE),
    declare("yandex-token", "t1.", r"[\w-]{10,}={0,2}\.[\w-]{86}={0,2}", end=""),
    declare("yandex-token", "y0_ y1_ y2_ y3_", r"[\w-]{50,60}", very_random, LONE),
    declare("tailscale-key", "tskey-", "[a-z]{3,10}-[A-Za-z0-9]{10,}(?:-[A-Za-z0-9]{20,})?"),
    declare("openshift-token", "sha256~", r"[\w-]{43}", end=LONE),
    declare("vault-token", "hvs. hvb. hvr.", r"[\w-]{24,300}", random_looking, ""),
    declare("vault-token", "b.AAAAAQ", r"[\w-]{100,300}", end=""),
    declare("age-secret-key", "AGE-SECRET-KEY-1", "[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    declare(
        "onepassword-secret-key", "A3-", "[A-Z0-9]{6}-[A-Z0-9]{6}-?[A-Z0-9]{5}(?:-[A-Z0-9]{5}){3}"
    ),
    declare("onepassword-service-token", "ops_eyJ", "[A-Za-z0-9+/_-]{250,}={0,3}", end=""),
    declare("clickhouse-key", "4b1d", "[A-Za-z0-9]{38}", very_random),
    declare("ngrok-key", "cr_ ak_", "[A-Za-z0-9]{27}", very_random),
    declare("elastic-key", "essu_", "[A-Za-z0-9+/=]{40,}", end=""),
    declare("akamai-token", "akab-", "[a-z0-9]{16}-[a-z0-9]{16}"),
    declare("dfuse-key", "web_ server_ mobile_", "[0-9a-f]{32}"),
)
