# syntax=docker/dockerfile:1
# Both images; each is a target, operator the default:
#   docker build --target operator --tag login-pipeline-operator:0.1.0 .
#   docker build --target processor --tag login-pipeline-processor:0.1.0 .
# With --build-arg LOGIN_PIPELINE_REVISION=$(git rev-parse HEAD) the binaries tell of which revision they are.
# `make images` builds the same layout from this machine's own build, without a base image.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The repository is not given to the build.
ARG LOGIN_PIPELINE_REVISION
# The binaries are stripped; zlib is the one library that they need and the base of the images lacks.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --package operator --package processor \
    && mkdir /binaries /libraries \
    && strip -o /binaries/operator target/release/operator \
    && strip -o /binaries/processor target/release/processor \
    && install -D -t "/libraries/usr/lib/$(uname -m)-linux-gnu" /lib/*-linux-gnu/libz.so.1

# glibc, libgcc and public certificates, and no shell.
FROM gcr.io/distroless/cc-debian12:nonroot AS base
COPY --from=build /libraries/ /
# OpenSSL, of which the binaries have their own, would look where it was built to be installed.
ENV PATH=/usr/local/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
LABEL org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
WORKDIR /
EXPOSE 8080

FROM base AS processor
LABEL org.opencontainers.image.title="login-pipeline-processor"
COPY --from=build /binaries/processor /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/processor"]

FROM base AS operator
LABEL org.opencontainers.image.title="login-pipeline-operator"
COPY --from=build /binaries/operator /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/operator"]
