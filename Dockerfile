# The image of vmimage-operator: two static programs, the licence, and as separate files under
# licences of their own what media are made of: files of boot loaders out of Debian's packages
# (e2e/assets) and the guest's init. There is no system around them.
# The operator runs as it is; build pods run /vmimage of the same image (command, uid 107).
#
#   default        compiles from source; pulls the images of Rust and Debian, crates and packages
#       docker build -t vmimage-operator .
#   --target dist  packs what e2e/dist has put into DIST below the context: static programs, and in
#                  DIST/root the other files; needs no network and no container engine
#       buildah bud --isolation chroot --timestamp 0 --identity-label=false --omit-history \
#           --target dist -t vmimage-operator .
#
# With these options the same programs give the same image digest: times are pinned, and neither
# buildah's version nor the owner and mode of the given files get in. With BuildKit:
#       docker buildx build --build-arg SOURCE_DATE_EPOCH=0 --provenance=false \
#           --output type=image,rewrite-timestamp=true …

# First, so that a builder which goes through the stages in order stops here for `--target dist`.
FROM scratch AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vmimage-operator" \
      org.opencontainers.image.description="Builds small bootable virtual-machine images and publishes them on Kubernetes" \
      org.opencontainers.image.vendor="The vmimage-operator authors" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --chmod=0444 LICENSE /LICENSE
USER 65532:65532
ENTRYPOINT ["/vmimage-operator"]

FROM base AS dist
ARG DIST=dist
COPY --chmod=0555 ${DIST}/vmimage-operator ${DIST}/vmimage /
COPY ${DIST}/root /

# Boot loaders for PCs are packages of amd64, whatever machine the programs run on.
FROM --platform=linux/amd64 docker.io/library/debian:bookworm AS assets
COPY e2e/assets /assets
RUN apt-get update && apt-get install -y --no-install-recommends $(/assets --packages) && /assets /out

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# An explicit target keeps crt-static away from build scripts and procedural macros, which cannot
# be static. It is the builder's own, so the same file serves amd64 and arm64.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target=$(rustc -vV | sed -n 's/^host: //p') && \
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$target" \
        --features operator,cli --bin vmimage-operator --bin vmimage && \
    mkdir -p /out/lib && cp "target/$target/release/vmimage-operator" "target/$target/release/vmimage" /out/ && \
    for machine in x86_64:amd64 aarch64:arm64; do \
        cp "$(e2e/init/build "${machine%:*}")" "/out/lib/vmimage-init.${machine#*:}" || exit 1; done

FROM base
COPY --from=build --chmod=0555 /out/vmimage-operator /out/vmimage /
COPY --from=build --chmod=0555 /out/lib /usr/lib/vmimage
COPY --from=assets /out /
