"""The container images that everything here runs on, and stand-ins where no registry gives them.

Owns their names: docker-compose.yml, the Dockerfile and `ops.stack.docker` use these and no others.
"""

from __future__ import annotations

from ops.stack.java import kafka_version

# The public image of the version that pom.xml names, so that containers and the local stack agree.
KAFKA_IMAGE = f"apache/kafka:{kafka_version()}"
# The major version that Debian 12 has too: the stand-in is a Redis 7 on bookworm, as the name says.
REDIS_IMAGE = "redis:7-bookworm"
# What our own image is built on.
BASE_IMAGE = "debian:bookworm-slim"
