"""Token formats of messaging, mail and payment services."""

from cortex_pipelines.privacy.detect.tokens.checksums import random_looking, very_random
from cortex_pipelines.privacy.detect.tokens.format import HEX, LONE, UUID, declare

FORMATS = (
    declare(
        "slack-token",
        "xoxb- xoxp- xoxa- xoxr- xoxs- xoxo- xoxe- xoxc- xoxd-",
        r"[A-Za-z0-9%+/=-]{14,500}",
        random_looking,
        "",
    ),
    declare("slack-token", "xoxe.xoxb- xoxe.xoxp-", "[0-9]-[A-Za-z0-9]{100,200}"),
    declare("slack-token", "xapp-", "[0-9]+-[A-Z0-9]+-[0-9]+-[A-Za-z0-9]+"),
    declare("telegram-token", "", r"(?<![\w:/.-])[0-9]{8,10}:AA[\w-]{33}", end=LONE, inside=":AA"),
    declare(
        "discord-token",
        "MD MT Mj Mz ND NT Nj Nz OD OT",
        r"[A-Za-z0-9]{22,26}\.[\w-]{6}\.[\w-]{27,38}",
        very_random,
        LONE,
    ),
    declare("discord-token", "mfa.", r"[\w-]{84}", end=LONE),
    declare(
        "line-token", "", r"[A-Za-z0-9+/]{160,180}1O/w1cDnyilFU=", end="", inside="1O/w1cDnyilFU="
    ),
    declare("sendgrid-key", "SG.", r"[\w-]{16,32}\.[\w-]{16,64}|[\w=.-]{66}", very_random, ""),
    declare("sendinblue-key", "xkeysib- xsmtpsib-", "[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    declare("mailgun-key", "key- pubkey-", "[a-f0-9]{32}", random_looking),
    declare("mailchimp-key", "", "[a-f0-9]{32}-us[0-9]{1,2}", random_looking, inside="-us"),
    declare("twilio-key", "SK AC", "[a-f0-9]{32}|[A-F0-9]{32}", random_looking, severity="medium"),
    declare("resend-key", "re_", r"[A-Za-z0-9]{8}_[A-Za-z0-9]{24}", very_random),
    declare("messagebird-key", "live_ test_", "[A-Za-z0-9]{25}", very_random),
    declare("onesignal-key", "os_v2_", "(?:app|org)_[a-z0-9]{90,120}"),
    declare("novu-key", "nv-", "[a-z0-9]{32}", random_looking),
    declare("stripe-key", "sk_ rk_", "(?:live|test|prod)_[A-Za-z0-9]{10,250}", random_looking),
    declare("stripe-webhook-secret", "whsec_", "[A-Za-z0-9+/]{24,64}={0,2}", random_looking, ""),
    declare("square-token", "sq0atp- sq0csp- sq0atb- sq0idp-", r"[\w-]{22,60}", end=LONE),
    declare("square-token", "EAAA", r"[\w-]{56,62}", very_random, LONE),
    declare("facebook-token", "EAA", "[A-Za-z0-9]{80,400}", very_random),
    declare("facebook-token", "", r"(?<![\w.])[0-9]{15,16}\|[\w-]{27,40}", end=LONE, inside="|"),
    declare("paypal-token", "access_token$", r"(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}"),
    declare("shopify-token", "shpat_ shpca_ shppa_ shpss_ shptka_", "[A-Za-z0-9]{32,38}"),
    declare("shippo-token", "shippo_live_ shippo_test_", f"{HEX}{{40}}"),
    declare("easypost-key", "EZAK EZTK", "[A-Za-z0-9]{54}"),
    declare("duffel-token", "duffel_live_ duffel_test_", r"[\w=-]{43}", end=LONE),
    declare(
        "flutterwave-key",
        "FLWSECK_TEST- FLWSECK- FLWPUBK_TEST- FLWPUBK-",
        "[a-hA-H0-9]{12,32}(?:-X)?",
    ),
    declare("lob-key", "live_ test_", "(?:pub_[a-f0-9]{31}|[a-f0-9]{35})"),
    declare("plaid-token", "access-", f"(?:sandbox|development|production)-{UUID}"),
    declare("razorpay-key", "rzp_live_ rzp_test_", "[A-Za-z0-9]{14,20}"),
    declare("checkout-key", "sk_", f"(?:test_)?{UUID}"),
    declare("gocardless-token", "live_ sandbox_", r"[\w=-]{40}", very_random, LONE),
    declare("coinbase-key", "organizations/", rf"{UUID}/apiKeys/{UUID}"),
    declare(
        "adyen-key",
        "AQE",
        r"[A-Za-z0-9+/=]{100,250}(?:-[A-Za-z0-9+/=]+-\S{10,40})?",
        very_random,
        "",
    ),
    declare("paystack-key", "sk_live_ sk_test_", "[a-f0-9]{40}"),
    declare("lemonsqueezy-key", "lsk_", "[A-Za-z0-9]{40,}"),
)
