# The order example as a container: static binaries and nothing else. The command line is beside
# it, for the tracker.
#   docker build -t choreo-order .
#   docker run --rm choreo-order            # all in one process, embedded broker
#   docker run --rm --entrypoint /choreo choreo-order help
FROM golang:1.26 AS build
WORKDIR /src
# The modules change less often than the code: a layer of their own.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /order ./examples/order \
    && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /choreo ./cmd/choreo

# nonroot is user 65532; this image has no shell. Without --data and --postgres the
# databases go to a temporary folder.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /order /choreo /
ENTRYPOINT ["/order"]
