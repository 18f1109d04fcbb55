# framelift: `make demo` shows it at work, `make test` runs every test. Both set the machine up first.

.PHONY: demo test test-gpu test-gpu-matrices test-training lint bench fmt setup

demo: setup
	cargo run --release --locked --bin framelift -- demo --output out/demo

test: setup
	cargo test --workspace --exclude framelift-engine-gpu --locked

# CubeCL and wgpu take minutes to build: apart from the other tests.
test-gpu: setup
	GPU=1 ./scripts/setup.sh
	cargo test --locked -p framelift-engine-gpu
	cargo test --locked -p framelift-cli --features gpu --test cli devices

# The engine once more on the newest Mesa, whose software Vulkan has matrix cores; skipped where Debian's packages cannot be had.
test-gpu-matrices: setup
	@code=0; scripts/newest-mesa.sh /bin/true || code=$$?; \
	if [ $$code -eq 77 ]; then echo "SKIPPED: the GPU engine on matrix cores"; exit 0; fi; \
	[ $$code -eq 0 ] || exit $$code; \
	FRAMELIFT_TEST_MATRIX_CORES=1 cargo test --locked -p framelift-engine-gpu --test gpu \
		--config "target.'cfg(unix)'.runner='$(CURDIR)/scripts/newest-mesa.sh'"

# The recipe of the models built in, in small. Installs PyTorch into target/.
test-training: setup
	TRAINING=1 ./scripts/setup.sh
	training/smoke.sh

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

bench: setup
	cargo bench --locked -p framelift-engine-cpu
	cargo run --release --locked --bin framelift -- bench

fmt:
	cargo fmt --all

setup:
	@scripts/setup.sh
