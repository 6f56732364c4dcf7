# The program as a small image: `docker build -t hissaback .`
# Every role is this image with another subcommand. It holds no embedded services and no secrets:
# those come from the environment, see docker-compose.yml and docs/operations.md.

FROM rust:1.95-bookworm AS build
# librdkafka is compiled from its sources.
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --locked --release --package hissaback \
    && cp target/release/hissaback /usr/local/bin/hissaback

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/hissaback --create-home hissaback \
    # A volume that is mounted here for the first time takes its owner over.
    && install --directory --owner hissaback --mode 0700 /etc/hissaback
COPY --from=build /usr/local/bin/hissaback /usr/local/bin/hissaback
USER hissaback
WORKDIR /var/lib/hissaback
ENV HISSABACK_LISTEN=0.0.0.0:8080
EXPOSE 8080
# Requests and batches under way are finished; a minute is plenty.
STOPSIGNAL SIGTERM
ENTRYPOINT ["hissaback"]
CMD ["--help"]
