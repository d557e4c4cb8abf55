# recordkv as an image: built with clang on Debian 13. It contains only the libraries that recordkv links.
#
#   docker build -t recordkv .
#   docker run -e RECORDKV_NATS_URL=nats://HOST:4222 -v recordkv:/var/lib/recordkv --read-only recordkv
#   docker run … recordkv likes --of at://…            any command of recordkv
#
# Owns: what is in the image and how it starts. Does not know: where NATS is. compose.yaml adds a NATS server.
# test/deploy/image.sh builds this file without Docker and runs it.

FROM docker.io/library/debian:trixie-slim AS builder
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      clang-19 meson ninja-build pkg-config catch2 \
      libboost-dev libcbor-dev libcli11-dev libfmt-dev libjemalloc-dev libnats-dev libpq-dev libsqlite3-dev libssl-dev \
      libsecp256k1-dev libtomlplusplus-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /recordkv
COPY meson.build meson_options.txt ./
COPY config config
COPY include include
COPY scripts/embed.py scripts/embed.py
COPY src src
COPY stages stages
COPY test test
ARG JOBS=
RUN CC=clang-19 CXX=clang++-19 meson setup /build -Dbuildtype=release -Db_ndebug=false \
 && ninja -C /build ${JOBS:+-j $JOBS} src/cli/recordkv \
 && strip -o /usr/local/bin/recordkv /build/src/cli/recordkv

FROM docker.io/library/debian:trixie-slim
# useradd: a fixed number, so that a volume has the same owner in every image.
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates libcbor0.10 libfmt10 libjemalloc2 libnats3.10 libpq5 libsqlite3-0 libssl3t64 libstdc++6 \
      libsecp256k1-2 libtomlplusplus3t64 \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
 && groupadd --gid 10580 recordkv \
 && useradd --uid 10580 --gid 10580 --home-dir /var/lib/recordkv --shell /usr/sbin/nologin recordkv \
 && install -d -o recordkv -g recordkv -m 750 /var/lib/recordkv
COPY --from=builder /usr/local/bin/recordkv /usr/local/bin/recordkv
COPY config/system.toml /etc/recordkv/recordkv.toml
COPY config/views /etc/recordkv/views
# The table of accounts costs something and is asked for: RECORDKV_INDEX_VIEWS=builtin:accounts,…
RUN rm /etc/recordkv/views/accounts.toml \
 && recordkv --config /etc/recordkv/recordkv.toml config check

# These override any file mounted at /etc/recordkv/recordkv.toml, because they follow from the container.
ENV RECORDKV_STATE_DIR=/var/lib/recordkv RECORDKV_INDEX_VIEWS=/etc/recordkv/views/*.toml \
    RECORDKV_HTTP_LISTEN=0.0.0.0:2580 RECORDKV_NATS_START_TIMEOUT=1h
USER 10580:10580
WORKDIR /var/lib/recordkv
VOLUME /var/lib/recordkv
EXPOSE 2580
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 \
  CMD ["recordkv", "--config", "/etc/recordkv/recordkv.toml", "status", "--quiet"]
ENTRYPOINT ["recordkv", "--config", "/etc/recordkv/recordkv.toml"]
CMD ["run"]
