# The everscore command in a container: `docker build -t everscore .`
#
# Debian's own Python 3.11 rather than an image of Python's: it is patched with everything else of
# the base until 2028, and where no registry is reached, the base can be made from Debian's packages
# and is then the same thing (ops/stack/images).
ARG BASE_IMAGE=debian:bookworm-slim

# --- environment: exactly what requirements.lock says, hashes checked
FROM ${BASE_IMAGE} AS environment

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*

# pip trusts whom the base image trusts: behind a company's proxy that is more than pip's own list.
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /src
COPY pyproject.toml requirements.lock ops/stack/images/lock_part.py ./
# The lock holds every extra; only what the worker and the API run on goes in. Tests that libraries
# ship with themselves are a quarter of their size.
RUN python3 lock_part.py everscore 'everscore[serve]' >runtime.lock \
    && python3 -m venv --without-pip /opt/everscore \
    && python3 -m pip --python /opt/everscore/bin/python install --require-hashes --no-deps \
        --only-binary :all: --requirement runtime.lock \
    && find /opt/everscore -depth -type d -name tests -exec rm -rf {} + \
    && echo /opt/everscore/app >/opt/everscore/lib/python3.11/site-packages/everscore.pth

# --- package: our own code, in a folder of its own, so that a new version is a small layer
FROM environment AS package

RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python3 lock_part.py cython setuptools >build.lock \
    && python3 -m venv /build \
    && /build/bin/pip install --require-hashes --requirement build.lock
COPY README.md LICENSE ./
COPY schemas schemas
COPY scoring scoring
COPY state state
COPY streams streams
COPY ops ops
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && python3 -m pip --python /opt/everscore/bin/python install --no-deps --no-index \
        --target /opt/everscore/app /wheel/*.whl \
    && python3 -m pip --python /opt/everscore/bin/python check

# --- the image: Python, the environment, an init, and nothing to build or fetch with
FROM ${BASE_IMAGE}

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 everscore \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin everscore \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/everscore

COPY --from=environment /opt/everscore /opt/everscore
COPY --from=package /opt/everscore/app /opt/everscore/app

# /var/lib/everscore is for keys and audit log of the API: an empty volume takes its owner over.
#
# OpenBLAS would start a thread for every core of the machine, each counted against the container's
# limits, to multiply matrices of four by three.
ENV PATH=/opt/everscore/app/bin:/opt/everscore/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1 \
    EVERSCORE_HEARTBEAT=/tmp/heartbeat

LABEL org.opencontainers.image.title="everscore" \
    org.opencontainers.image.description="A live score of every customer" \
    org.opencontainers.image.licenses="MIT"

# A number, so that whoever runs it can see that it is not root's without looking into the image.
USER 10001:10001
WORKDIR /tmp

# Of the worker; 0.05 s each time. Whoever runs another command switches it off.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["everscore-health", "/tmp/heartbeat"]

# tini passes SIGTERM on from the first moment, also while Python is still starting.
ENTRYPOINT ["tini", "--", "everscore"]
CMD ["worker"]
