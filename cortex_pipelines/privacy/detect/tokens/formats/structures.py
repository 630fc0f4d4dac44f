"""Formats shared by many services: structured tokens and webhooks."""

from cortex_pipelines.privacy.detect.tokens.format import declare, json_web_token, random_looking, very_random

FORMATS = (
    declare(
        "json-web-token",
        "eyJ ewo ewog",
        r"[\w-]{10,}={0,2}\.(?:eyJ|ew|[\w-]{2})[\w-]{8,}={0,2}(?:\.[\w-]*)?",
        json_web_token,
        "",
    ),
    declare("json-web-token", "ZXlK", "[A-Za-z0-9+/_-]{60,}={0,2}", very_random, ""),
    declare("slack-webhook", "hooks.slack.com/", r"(?:services|workflows|triggers)/[A-Za-z0-9+/]{30,80}", end=""),
    declare(
        "teams-webhook",
        "",
        r"https://[\w-]+\.webhook\.office\.com/webhookb2/[\w-]{36}@[\w-]{36}"
        r"/IncomingWebhook/[\w-]{32}/[\w-]{36}",
        end="",
        inside=".webhook.office.com/",
    ),
    declare(
        "discord-webhook",
        "discord.com/api/webhooks/ discordapp.com/api/webhooks/",
        r"[0-9]{17,20}/[\w-]{60,72}",
        end="",
    ),
    declare("zapier-webhook", "hooks.zapier.com/hooks/catch/", r"[\w/]{10,}", severity="medium", end=""),
    declare("azure-signature", "sig=", "[A-Za-z0-9%+/]{40,90}(?:%3D|=)", end=""),
    declare("jenkins-secret", "{AQAAABAAA", "[A-Za-z0-9+/]{16,}={0,2}}", end=""),
    declare("password-hash", "$2a$ $2b$ $2y$", r"[0-9]{2}\$[./A-Za-z0-9]{53}", end="", severity="medium"),
    declare(
        "password-hash",
        "$6$ $5$ $1$ $apr1$ $y$",
        r"(?:rounds=\d{1,9}\$)?[A-Za-z0-9./$]{1,40}\$[A-Za-z0-9./]{22,86}",
        very_random,
        r"(?![A-Za-z0-9./$])",
        severity="medium",
    ),
    declare(
        "password-hash",
        "$2a$ $2b$ $2x$ $2y$",
        r"\d\d\$[A-Za-z0-9./]{53}",
        very_random,
        r"(?![A-Za-z0-9./$])",
        severity="medium",
    ),
    declare(
        "password-hash",
        "$argon2id$ $argon2i$ $argon2d$ $scrypt$ $pbkdf2-sha256$ $pbkdf2-sha512$",
        r"[\w=,.$-]{4,80}\$[A-Za-z0-9+/.]{20,140}",
        very_random,
        "",
        severity="medium",
    ),
    declare(
        "password-hash", "{SHA} {SSHA} {SSHA512}", "[A-Za-z0-9+/]{27,140}={0,2}", very_random, "", severity="medium"
    ),
    declare("nats-seed", "SUA SOA SAA SNA", "[A-Z2-7]{55}", random_looking),
)
