"""What the operator can say: `schema` has the fields, `settings` reads file and environment."""

from .schema import (
    BreakerConfig,
    ConfigError,
    GatewayConfig,
    ModelConfig,
    ServerConfig,
    SummaryConfig,
    UpstreamConfig,
)

__all__ = [
    "BreakerConfig",
    "ConfigError",
    "GatewayConfig",
    "ModelConfig",
    "ServerConfig",
    "SummaryConfig",
    "UpstreamConfig",
]
