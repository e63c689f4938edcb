# syntax=docker/dockerfile:1
# The four programs, each alone in an empty image:
#   docker build --target operator -t signet.dev/signet-operator:0.1.0 .   (central, sidecar, cli alike)

FROM rust:1.95-bookworm AS build
ARG RUST_TARGET=x86_64-unknown-linux-gnu
WORKDIR /src
# The image's own toolchain is the one of rust-toolchain.toml; without this rustup would fetch rustfmt and clippy.
ENV RUSTUP_TOOLCHAIN=1.95.0 \
    RUSTFLAGS="-C target-feature=+crt-static" \
    CARGO_INCREMENTAL=0
COPY . .
# Registry and dependencies are kept between builds; the programs are copied out of the cached folder.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    rustup target add "$RUST_TARGET" \
    && cargo build --locked --release --target "$RUST_TARGET" \
       --bin signet-operator --bin signet-central --bin signet-sidecar --bin signet \
    && mkdir /out \
    && cd "target/$RUST_TARGET/release" \
    && cp signet-operator signet-central signet-sidecar signet /out/

# A scratch image has no user database: the numbers are all there is, and the kubelet can check them.
FROM scratch AS operator
LABEL org.opencontainers.image.title="signet-operator" \
      org.opencontainers.image.description="Reconciles Tenant, Role and IdGenerator; injects the sidecar" \
      org.opencontainers.image.source="https://signet.dev" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build --chmod=0755 /out/signet-operator /signet-operator
USER 65532:65532
EXPOSE 7760 7763
ENTRYPOINT ["/signet-operator"]

FROM scratch AS central
LABEL org.opencontainers.image.title="signet-central" \
      org.opencontainers.image.description="Tenants, roles, tokens and ranges of ids, kept as events" \
      org.opencontainers.image.source="https://signet.dev" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build --chmod=0755 /out/signet-central /signet-central
USER 65532:65532
EXPOSE 7750
ENTRYPOINT ["/signet-central"]

FROM scratch AS cli
LABEL org.opencontainers.image.title="signet-cli" \
      org.opencontainers.image.description="The signet command" \
      org.opencontainers.image.source="https://signet.dev" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build --chmod=0755 /out/signet /signet
USER 65532:65532
ENTRYPOINT ["/signet"]

FROM scratch AS sidecar
LABEL org.opencontainers.image.title="signet-sidecar" \
      org.opencontainers.image.description="Verifies tokens, decides and gives ids on localhost" \
      org.opencontainers.image.source="https://signet.dev" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build --chmod=0755 /out/signet-sidecar /signet-sidecar
USER 65532:65532
EXPOSE 7743
ENTRYPOINT ["/signet-sidecar"]
