"""The `everscore` command."""
