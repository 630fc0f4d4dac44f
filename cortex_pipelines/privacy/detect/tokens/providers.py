"""Formats without a prefix: a provider's name next to a value of the right shape.

A shape is a character set and its lengths: ``h`` hexadecimal, ``a`` letters and digits, ``w`` the
same with ``_``, ``=`` and ``-``, ``d`` digits, ``u`` a UUID, ``b`` base64, ``p`` a pair
of hexadecimals;
``h32,64`` is either of two lengths.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

_SETS = {"h": "[0-9a-fA-F]", "a": "[A-Za-z0-9]", "w": r"[\w=-]", "d": "[0-9]"}
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

PROVIDERS = {
    "adafruit": "w32",
    "adobe": "h32 a12",
    "airtable": "a17",
    "algolia": "a32",
    "alibaba": "a30",
    "aliyun": "a30",
    "amplitude": "h32",
    "appcenter": "h40",
    "asana": "d16 a32",
    "atlassian": "a24",
    "auth0": "w32,64",
    "aws": "b40",
    "azure": "w32,43,44 b88 a52,84",
    "bamboo": "h40",
    "beamer": "w46",
    "bitbucket": "a32 w64",
    "bitly": "h40",
    "bittrex": "a32",
    "bugsnag": "h32",
    "buildkite": "h40",
    "censys": "a32 u",
    "circle": "h40",
    "clearbit": "w35",
    "clickup": "a40",
    "cloudant": "h64 a24",
    "cloudflare": "w40 h37",
    "cloudinary": "w27",
    "codacy": "a20",
    "codecov": "a32 u",
    "cohere": "a40",
    "coinbase": "w64 a16,32",
    "confluence": "a24",
    "confluent": "a16,64",
    "contentful": "w43",
    "contribsys": "p8",
    "coveralls": "a33",
    "datadog": "a40 h32",
    "deepgram": "h40",
    "deepseek": "h32",
    "discord": "h64 d18 w32",
    "dockerhub": "u",
    "drone": "a32",
    "dropbox": "a15 w64",
    "elastic": "w20,24,32",
    "etherscan": "a34",
    "etsy": "a24",
    "facebook": "h32",
    "fastly": "w32",
    "finicity": "h32 a20",
    "finnhub": "a20",
    "firebase": "w39,152",
    "flickr": "a32 h16",
    "freshbooks": "a64",
    "freshdesk": "a20",
    "geocod": "h39",
    "giphy": "a32",
    "github": "h40",
    "gitlab": "w20",
    "gitter": "w40",
    "gocardless": "w45",
    "gradle": "a49",
    "gumroad": "w43",
    "harvest": "a97",
    "heroku": "u",
    "hubspot": "u",
    "ibm": "w44",
    "infura": "h32",
    "instagram": "h32",
    "intercom": "w60",
    "ipstack": "h32",
    "jenkins": "h32,34",
    "jfrog": "a64,73",
    "artifactory": "a64,73",
    "jira": "a24",
    "keen": "h64",
    "kraken": "b56,88",
    "kucoin": "h24 u",
    "launchdarkly": "w40",
    "linear": "h32",
    "linkedin": "a14,16",
    "logz": "u a32",
    "looker": "a20,24",
    "mailchimp": "h32",
    "mailjet": "h32",
    "mandrill": "w22",
    "mapquest": "a32",
    "mattermost": "a26",
    "meraki": "h40",
    "messagebird": "a25 u",
    "mixpanel": "h32",
    "netlify": "w40,43,44,45,46",
    "newrelic": "a64 h40",
    "nexmo": "h8 a16",
    "ngrok": "w43,48,49",
    "notion": "a43",
    "nytimes": "w32",
    "okta": "w42",
    "opsgenie": "u",
    "optimizely": "w54",
    "pagerduty": "w20 h32",
    "particle": "h40",
    "pinata": "h64",
    "pivotal": "h32",
    "plaid": "a24,30",
    "postmark": "u",
    "privateai": "a32",
    "pubnub": "u",
    "pushbullet": "w34",
    "pusher": "h20",
    "quip": "b88",
    "rapidapi": "w50",
    "rollbar": "h32",
    "salesforce": "w15,64,112",
    "sauce": "u",
    "segment": "w43 a32",
    "sendbird": "u h40",
    "sentry": "h32,64",
    "shodan": "a32",
    "sidekiq": "h8",
    "snyk": "u",
    "softlayer": "h64",
    "sonar": "w40",
    "spotify": "h32",
    "squarespace": "u",
    "stackhawk": "w40",
    "strava": "h40",
    "sumo": "a14,64",
    "surveymonkey": "w40",
    "telegram": "w35",
    "tencent": "a32,36",
    "todoist": "h40",
    "travis": "a22",
    "trello": "h32,64",
    "tumblr": "a50",
    "twilio": "h32",
    "twitch": "a30",
    "twitter": "a25,35,40,45,50",
    "unsplash": "w43",
    "vercel": "a24",
    "virustotal": "h64",
    "wakatime": "u",
    "weather": "h32",
    "wepay": "a62",
    "wistia": "h64",
    "wordnik": "a48",
    "yelp": "w128",
    "youtube": "w39",
    "zendesk": "a40",
    "zoom": "w22,32",
}
"""Shapes of providers' values by the provider's name, in lower case."""


def _shape(code: str) -> str:
    if code == "u":
        return _UUID
    if code == "p8":
        return "[0-9a-f]{8}:[0-9a-f]{8}"
    charset = _SETS["w"].replace("-]", "/+-]") if code[0] == "b" else _SETS[code[0]]
    return "|".join(f"{charset}{{{length}}}" for length in code[1:].split(","))


SHAPES = {
    keyword: re.compile("|".join(_shape(code) for code in shapes.split())) for keyword, shapes in PROVIDERS.items()
}
"""One pattern per provider, which must match a whole value."""


def _prefix_tree(words: Iterable[str]) -> str:
    """A pattern of words by their letters, which is faster than an alternative for each."""
    by_letter: dict[str, list[str]] = defaultdict(list)
    for word in words:
        by_letter[word[:1]].append(word[1:])
    ends = by_letter.pop("", None) is not None
    branches = "|".join(letter + _prefix_tree(suffixes) for letter, suffixes in sorted(by_letter.items()))
    return f"(?:{branches}){'?' if ends else ''}" if branches else ""


ANY_PROVIDER = re.compile(_prefix_tree(SHAPES))
"""Matches each provider's name in a text in lower case."""
