"""Prometheus metrics of the gateway."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Metrics of one gateway, in their own registry: a process may have several gateways."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "cortex_requests", "Requests answered", ("route", "model", "way", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "cortex_request_seconds",
            "Time to the end of an answer",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.first_token = Histogram(
            "cortex_first_token_seconds", "Time to the first token", buckets=_SECONDS, registry=self.registry
        )
        self.tokens = Counter("cortex_tokens", "Tokens read and written", ("model", "kind"), registry=self.registry)
        self.waiting = Gauge("cortex_waiting", "Requests that wait for the model", registry=self.registry)
        self.resident = Gauge("cortex_resident_adapters", "Adapters in memory", registry=self.registry)
        self.adapter_loads = Counter(
            "cortex_adapter_requests",
            "Requests for adapters, by whether they could be loaded",
            ("outcome",),
            registry=self.registry,
        )
        self.fallbacks = Counter(
            "cortex_fallbacks", "Answers by the base for an adapter", ("model",), registry=self.registry
        )
        self.flagged = Counter(
            "cortex_flagged", "Secrets and personal data in answers, by rule", ("rule",), registry=self.registry
        )
        self.trials = Counter(
            "cortex_rollout_answers",
            "Answers while a canary is running, by outcome",
            ("project", "variant", "outcome"),
            registry=self.registry,
        )
        self.trial_seconds = Histogram(
            "cortex_rollout_seconds",
            "Time of an answer while a canary is running",
            ("project", "variant"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.experiment_answers = Counter(
            "cortex_experiment_answers",
            "Answers while an experiment is running, by outcome",
            ("project", "variant", "outcome"),
            registry=self.registry,
        )
        self.experiment_votes = Counter(
            "cortex_experiment_votes",
            "Votes on answers of an experiment",
            ("project", "variant", "vote"),
            registry=self.registry,
        )
        self.experiment_seconds = Histogram(
            "cortex_experiment_seconds",
            "Time of an answer while an experiment is running",
            ("project", "variant"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.cache_requests = Counter(
            "cortex_cache_requests", "Lookups in the response cache, by outcome", ("outcome",), registry=self.registry
        )
        self.cache_bytes = Gauge("cortex_cache_bytes", "Size of the response cache", registry=self.registry)
        self.routed_tasks = Counter("cortex_routed", "Tasks routed, by what decided", ("by",), registry=self.registry)

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
