# Builds pmedis and runs redis-server with it on Debian 12.
#
#   docker build -t pmedis .
#   docker run -it --rm -v /mnt/pmem0:/pmem -e PMEDIS_PASSWORD=secret -p 127.0.0.1:6379:6379 pmedis
#
# The tool works on a pool that no container has open:
#
#   docker run --rm -v /mnt/pmem0:/pmem pmedis check /pmem/pmedis.pool
#
# /pmem is the directory that holds the pool, and must be writable for the user `redis` of the image: mount a
# DAX file system there, or a directory on any disk: what was acknowledged survives a power loss on both. Without a password the server can be reached from within the container only.

FROM rust:1-bookworm AS build
WORKDIR /pmedis
COPY . .
RUN ci/install
RUN cargo build --release --locked -p module -p tool

FROM debian:bookworm-slim
COPY ci/install /usr/local/bin/pmedis-install
COPY ci/container /usr/local/bin/pmedis-container
COPY --from=build /pmedis/target/release/pmedis /usr/local/bin/pmedis
COPY --from=build /pmedis/target/release/libpmedis.so /usr/lib/redis/modules/libpmedis.so
RUN pmedis-install --runtime && rm -rf /var/lib/apt/lists/* && mkdir -p /pmem && chown redis:redis /pmem
USER redis
VOLUME /pmem
EXPOSE 6379
ENV PMEDIS_DURABILITY=auto PMEDIS_SIZE=1g
ENTRYPOINT ["pmedis-container"]
CMD ["serve"]
