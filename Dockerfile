# helenus with the ONNX Runtime library it scores with:
#   docker build -t helenus . && docker run --rm helenus --help

FROM python:3.12-slim-bookworm AS onnxruntime
WORKDIR /build
COPY scripts/fetch-onnxruntime scripts/
RUN scripts/fetch-onnxruntime /onnxruntime

FROM rust:1-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --locked --release --features kafka --bin helenus

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home helenus
COPY --from=onnxruntime /onnxruntime/ /usr/local/lib/
COPY --from=build /build/target/release/helenus /usr/local/bin/helenus
ENV HELENUS_ONNXRUNTIME=/usr/local/lib/libonnxruntime.so
USER 10001
WORKDIR /home/helenus
ENTRYPOINT ["helenus"]
CMD ["worker"]
