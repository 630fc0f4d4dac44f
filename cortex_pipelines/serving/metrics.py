"""What the gateway counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Counters of one gateway; of its own, so that two in one process stay apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "cortex_requests",
            "Requests answered",
            ("route", "model", "way", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "cortex_request_seconds",
            "Time to the end of an answer",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.first_token = Histogram(
            "cortex_first_token_seconds",
            "Time to the first token",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter(
            "cortex_tokens", "Tokens read and written", ("model", "kind"), registry=self.registry
        )
        self.waiting = Gauge(
            "cortex_waiting", "Requests that wait for the model", registry=self.registry
        )
        self.resident = Gauge(
            "cortex_resident_adapters", "Adapters in memory", registry=self.registry
        )
        self.adapter_loads = Counter(
            "cortex_adapter_requests",
            "Adapters asked for, by whether they could be used",
            ("outcome",),
            registry=self.registry,
        )
        self.fallbacks = Counter(
            "cortex_fallbacks",
            "Answers by the base for an adapter",
            ("model",),
            registry=self.registry,
        )
        self.flagged = Counter(
            "cortex_flagged",
            "Secrets and personal data in answers, by rule",
            ("rule",),
            registry=self.registry,
        )
        self.trials = Counter(
            "cortex_rollout_answers",
            "Answers while a canary is tried, by what became of them",
            ("project", "variant", "outcome"),
            registry=self.registry,
        )
        self.trial_seconds = Histogram(
            "cortex_rollout_seconds",
            "Time of an answer while a canary is tried",
            ("project", "variant"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.compared = Counter(
            "cortex_experiment_answers",
            "Answers while an experiment is under way, by what became of them",
            ("project", "variant", "outcome"),
            registry=self.registry,
        )
        self.compared_votes = Counter(
            "cortex_experiment_votes",
            "Votes on answers of an experiment",
            ("project", "variant", "vote"),
            registry=self.registry,
        )
        self.compared_seconds = Histogram(
            "cortex_experiment_seconds",
            "Time of an answer while an experiment is under way",
            ("project", "variant"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.remembered = Counter(
            "cortex_cache_requests",
            "Answers looked for among those given already, by whether they were there",
            ("outcome",),
            registry=self.registry,
        )
        self.remembered_bytes = Gauge(
            "cortex_cache_bytes", "Memory of answers given already", registry=self.registry
        )
        self.routed = Counter(
            "cortex_routed", "Tasks routed, by what decided", ("by",), registry=self.registry
        )

    def page(self) -> bytes:
        """All of it in Prometheus' text form."""
        return generate_latest(self.registry)
