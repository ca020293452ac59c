# syntax=docker/dockerfile:1
# The gateway, or with another command the mock model (docs/deploy.md):
#   docker build -t reasoning-gateway .
#   docker run --rm -p 127.0.0.1:8080:8080 -e UPSTREAM_URL=http://host.docker.internal:9000 reasoning-gateway
#   docker run --rm -p 127.0.0.1:9000:9000 reasoning-gateway python mock_llm.py

FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# The environment has no pip of its own: the build stage's fills it.
RUN python -m venv --without-pip /venv
COPY .ci/requirements.lock .ci/requirements-sbom.lock ./
RUN python -m pip --python /venv/bin/python install --require-hashes -r requirements.lock
COPY pyproject.toml setup.cfg README.md LICENSE client.py mock_llm.py ./
COPY trio_gateway trio_gateway
RUN python -m pip --python /venv/bin/python install --no-deps . \
 && python -m compileall -q /venv/lib
# The bill of materials names what the environment holds, not what the lock says that it should.
RUN python -m venv --without-pip /sbom \
 && python -m pip --python /sbom/bin/python install --require-hashes -r requirements-sbom.lock \
 && /sbom/bin/cyclonedx-py environment --output-reproducible --output-format JSON --output-file /sbom.cdx.json /venv/bin/python

FROM python:3.13-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Reasoning LLM Gateway" \
      org.opencontainers.image.description="Streams a prompt summary, a reasoning summary and the final output of reasoning models." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# Nothing is installed into a running container: no pip, and nothing that brings one.
RUN find /usr -depth \( -name pip -o -name 'pip[0-9.]*' -o -name 'pip-*' -o -name ensurepip \) -exec rm -rf {} + \
 && useradd --uid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin gateway
COPY --from=build /venv /venv
COPY --from=build /sbom.cdx.json /usr/share/sbom/trio-gateway.cdx.json
WORKDIR /app
COPY client.py mock_llm.py ./
# LOG_FORMAT: a container that has a terminal would log text.
ENV PATH=/venv/bin:$PATH HOST=0.0.0.0 PORT=8080 MOCK_PORT=9000 LOG_FORMAT=json PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number lets an orchestrator see that this is not root.
USER 10001:10001
EXPOSE 8080 9000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live', timeout=2)"]
CMD ["trio-gateway", "serve"]
