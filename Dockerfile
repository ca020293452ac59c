# syntax=docker/dockerfile:1
# The gateway, or with another command the mock model:
#   docker build -t reasoning-gateway .
#   docker run --rm -p 8080:8080 -e UPSTREAM_URL=http://host.docker.internal:9000 reasoning-gateway
#   docker run --rm -p 9000:9000 reasoning-gateway trio-gateway mock
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /venv
COPY .ci/requirements.lock ./
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY trio_gateway trio_gateway
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps .

FROM python:3.13-slim
# The numeric id lets an orchestrator see that this is not root.
RUN useradd --uid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin gateway
COPY --from=build /venv /venv
WORKDIR /app
ENV PATH=/venv/bin:$PATH HOST=0.0.0.0 PORT=8080 MOCK_PORT=9000 LOG_FORMAT=json PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8080 9000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live', timeout=2)"]
CMD ["trio-gateway", "serve"]
