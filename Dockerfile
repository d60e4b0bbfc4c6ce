# One static binary in an empty image.
#
#   docker build --build-arg SEGUE_COMMIT=$(git rev-parse --short=12 HEAD) -t segue:0.1.0 .
#   docker run -v ./proxy.yaml:/etc/segue/proxy.yaml:ro -p 6380:6380 -p 9180:9180 segue:0.1.0
#
# `make test` has no Docker to build this with. It checks the file with hadolint and builds the same
# static binary from just the files that are copied here (scripts/static).

FROM rust:1.95-alpine AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY src ./src
# The build sees no .git, so that a commit changes the image only if it changes the program.
ARG SEGUE_COMMIT=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    SEGUE_COMMIT="$SEGUE_COMMIT" cargo build --release --locked --bin segue \
    && mkdir -p /image/run/segue \
    && cp target/release/segue /image/segue

FROM scratch
LABEL org.opencontainers.image.title="Segue" \
      org.opencontainers.image.description="A transparent, RESP-aware failover proxy for Redis and Valkey" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /image/segue /segue
# For the control socket, the only file that Segue writes. As a number: the image knows no names.
COPY --from=build --chown=65532:65532 /image/run/segue /run/segue
USER 65532:65532
# Clients; metrics, probes and status.
EXPOSE 6380 9180
# SIGTERM stops accepting and lets sessions finish, within `drain.timeout`: stop the container with
# a longer grace period than that.
STOPSIGNAL SIGTERM
# Asks the running Segue over its control socket. That the nodes are down does not make Segue
# unhealthy: restarting it would drop the clients that it holds.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/segue", "status", "--config", "/etc/segue/proxy.yaml"]
ENTRYPOINT ["/segue"]
CMD ["run", "--config", "/etc/segue/proxy.yaml"]
