"""One log line and the metrics of each request, once it is over."""

import logging

from hfmodel_router.exchange import Exchange
from hfmodel_router.metrics import Metrics, labelled

logger = logging.getLogger("hfmodel_router.request")

CLIENT_GONE = "client gone"
_CLIENT_CLOSED = 499  # as nginx counts a client that left before it was answered
_PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/health"})


def report(exchange: Exchange, metrics: Metrics) -> None:
    """Only names, numbers and ids: no body, no key, no query."""
    status = exchange.status or _CLIENT_CLOSED
    elapsed, held = exchange.elapsed, exchange.held
    labelled(metrics.requests, exchange.model_id, exchange.route, str(status)).inc()
    labelled(metrics.request_seconds, exchange.route).observe(elapsed)
    if held is not None:
        metrics.hold_seconds.labels(exchange.model_id).observe(held)
    if exchange.first_byte_at is not None:
        labelled(metrics.first_byte_seconds, exchange.route).observe(exchange.first_byte_at)
    if exchange.refused:
        metrics.refused.labels(exchange.refused).inc()
    level = logging.DEBUG if exchange.route in _PROBES else logging.INFO
    if not logger.isEnabledFor(level):
        return
    fields: dict[str, object] = {
        "request_id": exchange.request_id,
        "method": exchange.method,
        "path": exchange.path,
        "status": status,
        "seconds": round(elapsed, 4),
    }
    prompt_tokens, _, answer_tokens = exchange.tokens.partition(b" ")
    optional = {
        "model": exchange.model_id,
        "pod": exchange.pod,
        "held": None if held is None else round(held, 3),
        "first_byte": None if exchange.first_byte_at is None else round(exchange.first_byte_at, 4),
        "retries": exchange.retries,
        "prompt_tokens": prompt_tokens.decode("latin-1"),
        "answer_tokens": answer_tokens.decode("latin-1"),
        "error": exchange.refused,
        "cut": exchange.aborted,
    }
    fields.update({name: value for name, value in optional.items() if value})
    logger.log(level, "request", extra={"fields": fields})
