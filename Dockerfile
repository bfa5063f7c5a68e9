FROM python:3.12-slim
WORKDIR /app
RUN pip install --no-cache-dir uv
COPY pyproject.toml README.md LICENSE ./
COPY es_mappings es_mappings
COPY hybrid hybrid
COPY workers workers
COPY web web
# Compiled here, for the user below cannot write it down, and every command would compile anew.
RUN uv pip install --system --no-cache --compile-bytecode .
RUN useradd --create-home hybrid && mkdir -p /var/lib/hybrid /data && chown hybrid /var/lib/hybrid
USER hybrid
CMD ["hybrid", "serve", "--host", "0.0.0.0"]
