# The image of outgo: one static binary, certificate roots, and nothing else.
#
#   docker build -t outgo .
#
# builds it from source. Where no registry can be reached, the same image is made
# from a directory that holds the binary as "outgo", the roots as
# "ca-certificates.crt" and an empty directory "data":
#
#   buildah bud --format docker --target prebuilt -f Dockerfile DIRECTORY

# What does not depend on where the binary comes from. The order of the stages
# lets prebuilt be made without pulling anything.
FROM scratch AS base
ENV OUTGO_DATA_DIR=/var/lib/outgo \
    OUTGO_LISTEN_PROXY=0.0.0.0:8080 \
    OUTGO_LISTEN_CONTROL=0.0.0.0:8081
# A configuration goes to /etc/outgo/outgo.yaml.
WORKDIR /etc/outgo
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/outgo", "healthcheck"]
ENTRYPOINT ["/outgo"]
CMD ["serve"]

FROM base AS prebuilt
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --chown=65532:65532 --chmod=0700 data /var/lib/outgo
COPY --chmod=0755 outgo /outgo
VOLUME ["/var/lib/outgo"]
USER 65532:65532

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# The repository belongs to another user here, and git would not name its commit.
RUN git config --global --add safe.directory /src \
 && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/outgo ./cmd/outgo \
 && mkdir -m 0700 /out/data

FROM base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# The volume begins as a copy of this directory, which makes it writable for the
# user below.
COPY --from=build --chown=65532:65532 /out/data /var/lib/outgo
COPY --from=build /out/outgo /outgo
VOLUME ["/var/lib/outgo"]
USER 65532:65532
