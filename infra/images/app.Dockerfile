# The command `distillwatch` with the streaming deployment; CPU only.
# Build from the root of the repository: docker build -f infra/images/app.Dockerfile .
FROM python:3.12-slim

# Not root: whoever feeds it records must not own the machine should a decoder have a hole.
RUN useradd --create-home --uid 10001 distillwatch && mkdir /app /lake && chown distillwatch /app /lake
USER distillwatch
WORKDIR /app

COPY --chown=distillwatch . .
RUN python -m venv /tmp/uv && /tmp/uv/bin/pip install --no-cache-dir uv==0.13.9 \
    && /tmp/uv/bin/uv sync --frozen --no-default-groups --no-editable --no-cache --extra streams \
    && rm -rf /tmp/uv

VOLUME /lake
# Kubernetes and Docker stop with SIGTERM, on which a worker lands what it holds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/.venv/bin/distillwatch"]
