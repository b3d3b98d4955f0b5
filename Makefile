# The same commands on a laptop and in CI. `make demo` and `make test` install what is missing, and say so.

.PHONY: build static deb rpm release demo test update fuzz bench deny tools-build tools-demo tools-test

# The tests make network namespaces: an ordinary user may do so as root of a user namespace, where the kernel lets him.
UNSHARE = unshare --user --map-root-user --net
ifneq ($(shell id -u),0)
ifeq ($(shell $(UNSHARE) echo allowed 2>/dev/null),allowed)
RUNNER = --config 'target."cfg(all())".runner = "$(UNSHARE)"'
endif
endif

build: tools-build
	cargo build --locked

# One program without libraries, packages of it, and all of that with checksums: in target/dist.
static deb rpm: tools-build
	packaging/build $@

release: tools-build
	packaging/build all

# The whole story in a throw-away namespace; as an ordinary user or as root, the host is not touched.
demo: tools-demo
	cargo run --locked --quiet -- demo

test: tools-test
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace $(RUNNER)
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps

# Writes the snapshots anew, and then the README's outputs and tables from them.
update: tools-test
	UPDATE=1 cargo test --locked --test integration $(RUNNER) cli::snapshots
	UPDATE=1 cargo test --locked --test integration $(RUNNER) cli::readme
	UPDATE=1 cargo test --locked --test integration $(RUNNER) cli::demo
	UPDATE=1 cargo test --locked --test integration $(RUNNER) ansible::readme

# A million inputs for one TARGET of fuzz/, or for each. Wants `cargo install cargo-fuzz`; a compiler of its own it does
# not want.
RUNS ?= 1000000
fuzz: tools-build
	@for target in $(or $(TARGET),$$(cargo fuzz list)); do \
		mkdir -p fuzz/corpus/$$target && \
		cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-runs=$(RUNS) -max_len=16384 -timeout=10 -rss_limit_mb=512 -print_final_stats=1 || exit 1; \
	done

# Prints the README's table, measured here and now. Nothing else should run meanwhile.
bench: tools-demo
	cargo bench --locked --bench sync --bench firewalld

# Known vulnerabilities, licences and origins of the dependencies; fetches the database of advisories.
deny:
	cargo deny --locked check

tools-build:
	@.ci/tools cc libclang

tools-demo: tools-build
	@.ci/tools ip mount nft unshare

tools-test: tools-demo
	@.ci/tools curl dpkg-deb fish git iptables ipset mandoc nsenter prometheus-parser python3-venv setpriv ssh strace systemd-analyze systemd-nspawn tc zsh
# Its package would start it, now and at every boot: not on somebody's laptop.
	@[ "$$CI" != true ] || .ci/tools dbus-daemon dbus-send firewall-cmd
	@packaging/build tools
	@.ci/ansible
