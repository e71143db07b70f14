"""The metrics of several processes as those of one: every sample has the label `node`. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

NODE = "node"


class SentMetric(Struct, frozen=True, kw_only=True, array_like=True):
    """A metric as plain data. A sample is its name, its labels and its value."""

    name: str
    text: str
    kind: str
    unit: str
    samples: list[tuple[str, dict[str, str], float]]


def sent(registry: CollectorRegistry) -> list[SentMetric]:
    """Return the metrics of this process."""
    return [
        SentMetric(
            name=metric.name,
            text=metric.documentation,
            kind=metric.type,
            unit=metric.unit,
            samples=[(sample.name, dict(sample.labels), float(sample.value)) for sample in metric.samples],
        )
        for metric in registry.collect()
    ]


def together(of_nodes: Mapping[str, Iterable[SentMetric]]) -> CollectorRegistry:
    """Return a registry with the metrics of several processes, by the name of the node."""
    registry = CollectorRegistry()
    registry.register(_Together(of_nodes))
    return registry


class _Together(Collector):
    def __init__(self, of_nodes: Mapping[str, Iterable[SentMetric]]) -> None:
        self._of_nodes = of_nodes

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for node, metrics in self._of_nodes.items():
            for each in metrics:
                metric = found.setdefault(each.name, Metric(each.name, each.text, each.kind, each.unit))
                for name, labels, value in each.samples:
                    metric.add_sample(name, {NODE: node, **labels}, value)
        yield from found.values()
