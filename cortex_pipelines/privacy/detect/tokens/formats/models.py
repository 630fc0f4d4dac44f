"""Token formats of language model providers."""

from cortex_pipelines.privacy.detect.tokens.checksums import random_looking, very_random
from cortex_pipelines.privacy.detect.tokens.format import END, LONE, UUID, declare

FORMATS = (
    declare(
        "openai-key",
        "sk-",
        "(?:(?:proj|svcacct|admin|service|None)-)?[A-Za-z0-9_-]{16,90}T3BlbkFJ[A-Za-z0-9_-]{16,90}",
        end="",
    ),
    declare("openai-key", "sk-proj- sk-svcacct- sk-admin-", r"[\w-]{48,180}", random_looking),
    declare("anthropic-key", "sk-ant-", r"(?:api|admin|sid|oat)[0-9]{2}-[\w-]{80,120}", end=""),
    declare("openrouter-key", "sk-or-v1-", "[0-9a-f]{64}"),
    declare("langfuse-key", "sk-lf-", UUID),
    declare("model-provider-key", "sk-", "[A-Za-z0-9]{32,51}", random_looking),
    declare("huggingface-token", "hf_ api_org_", "[A-Za-z]{34}|[A-Za-z0-9]{34,37}", end=END),
    declare("llamacloud-key", "llx-", r"[\w-]{48}", random_looking, LONE),
    declare("groq-key", "gsk_", "[A-Za-z0-9]{52}", is_exact=True),
    declare("replicate-token", "r8_", r"[\w-]{37}", end=LONE),
    declare("perplexity-key", "pplx-", "[A-Za-z0-9]{48,56}"),
    declare("xai-key", "xai-", "[A-Za-z0-9]{70,90}"),
    declare("cerebras-key", "csk-", "[a-z0-9]{40,60}", random_looking),
    declare("nvidia-key", "nvapi-", r"[\w-]{60,70}", end=LONE),
    declare("langsmith-key", "lsv2_", "(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}"),
    declare("pinecone-key", "pcsk_", r"[A-Za-z0-9_]{60,80}"),
    declare("voyage-key", "pa-", r"[\w-]{43}", very_random, LONE),
    declare("tavily-key", "tvly-", r"[\w-]{20,60}", random_looking),
    declare("firecrawl-key", "fc-", "[a-f0-9]{32}"),
    declare("fireworks-key", "fw_", "[A-Za-z0-9]{22,30}", very_random),
    declare("together-key", "tgp_v1_", r"[\w-]{43}", end=LONE),
    declare("elevenlabs-key", "sk_", "[a-f0-9]{48}"),
    declare("jina-key", "jina_", r"[A-Za-z0-9_-]{60}", end=LONE),
    declare("weaviate-key", "wcs-", "[A-Za-z0-9]{30,50}", very_random),
)
