# helenus: `make help` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help build test test-faults test-4.1 test-python bench demo demo-documents cassandra cassandra-down kafka kafka-down lint doc clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the helenus binary, optimised: target/release/helenus
	cargo build --locked --release --features kafka

# This and test-faults have failpoints, which do nothing unless a test names one, so that the crate is compiled once.
test: ## the whole suite against a real Cassandra that it starts and wipes (ARGS='name -- --nocapture')
	@scripts/test --features failpoints,kafka --lib --bins --test suite $(ARGS)

test-faults: ## faults and what must hold after each: kills, freezes, lost answers, dead nodes (ARGS as for test)
	@scripts/test --features failpoints,kafka --test faults $(ARGS)

test-4.1: ## the main tests against a real Cassandra 4.1 (ARGS='name' instead of them)
	@scripts/test-4.1 $(ARGS)

test-python: ## the Python package against a real Cassandra: wheel, module, notebook, Airflow (ARGS go to pytest)
	@scripts/test-python $(ARGS)

bench: ## helenus against a ceiling straight on the driver, every goal measured: over an hour (ARGS=--quick: some minutes)
	@scripts/setup --bench
	@.dev/bench-venv/bin/python bench/run.py $(ARGS)

demo: ## a real Cassandra, real models, real rows: the story told through cqlsh
	@scripts/demo

demo-documents: ## mails and scanned pages on topics of a real Kafka, turned and routed by models; a promotion and a kill in mid-stream
	@scripts/demo-documents

cassandra: ## a Cassandra for development on 127.0.0.1:9042 (scripts/cassandra --help for more)
	@scripts/cassandra up

cassandra-down: ## stop it; its data stay (scripts/cassandra wipe deletes them)
	@scripts/cassandra down

kafka: ## a Kafka broker for development on 127.0.0.1:9092 (scripts/kafka --help for more)
	@scripts/kafka up

kafka-down: ## stop it; its data stay (scripts/kafka wipe deletes them)
	@scripts/kafka down

lint: ## formatting, clippy, the layering and the names of src/
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	cargo clippy --locked --bins -- -D warnings
	scripts/check-layering
	scripts/check-names

doc: ## the crate's documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features

clean: ## stop and delete every Cassandra and Kafka of this folder, the fetched tools and the build
	@for home in .dev/cassandra/*/; do [ ! -d "$$home" ] || scripts/cassandra wipe --name "$$(basename "$$home")"; done
	@for home in .dev/kafka/*/; do [ ! -d "$$home" ] || scripts/kafka wipe --name "$$(basename "$$home")"; done
	rm -rf .dev
	cargo clean
