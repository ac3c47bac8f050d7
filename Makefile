# The commands of the project. The product builds with a Rust toolchain, a C compiler, make and perl; the tests need more
# (CONTRIBUTING.md), and get it themselves where they can.
.DEFAULT_GOAL := help
.PHONY: help check test prove e2e mutants demo crd pictures docs commands man bench images kind-up kind-load kind-down

help: ## List these commands
	@sed -n 's/^\([a-z0-9%-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

check: ## The fast loop: formatting, clippy, the unit tests of the sources with 500 histories; under 90 s when it is warm
	@scripts/test lint quick

# Everything but the advisories of cargo-deny, which need the network, must run where CI is set.
test: ## Everything: sets up the services that the tests run, then runs every tier
	@scripts/test

test-%: ## One tier of the tests: lint, build, unit, node, api, kafka, browser, testkit, chart, deny
	@scripts/test $*

prove: ## The slow proofs, for hours: 200,000 histories, every test that waits ten times under load, planted bugs
	@scripts/prove

e2e: ## The product on a real node of this machine, which takes Linux and root
	@scripts/test node

mutants: ## Plant bugs in a copy of the sources: each must turn a test red
	@scripts/mutants

# Ten minutes of events are there at once; without a terminal it ends by itself, after two minutes more.
demo: ## A pipeline on this machine, with no service, and its live page; q or Ctrl-C ends it
	@cargo build --profile demo --no-default-features -p processor
	@if [ -t 0 ] && [ -t 2 ]; then ends=--open; else ends="--events 360000 --exit"; fi; \
	  cargo run --quiet --profile demo --no-default-features -p processor -- local examples/demo.yaml --since 10m --rate 500 $$ends

crd: ## Write crds/login-pipeline.yaml and the chart's copy of it anew, from the Rust types
	@cargo run --quiet -p operator -- crd > crds/login-pipeline.yaml.new
	@mv crds/login-pipeline.yaml.new crds/login-pipeline.yaml
	@cp crds/login-pipeline.yaml charts/login-pipeline-operator/files/crd.yaml

commands: ## Write docs/commands.md anew, from the definition of both command lines
	@cargo run --quiet -p xtask -- commands > docs/commands.md.new
	@mv docs/commands.md.new docs/commands.md

man: ## Write the man pages of both commands: target/man
	@cargo run --quiet --bin processor -- man target/man
	@cargo run --quiet --bin operator -- man target/man

docs: commands ## Write the pages anew that are made from the sources: docs/commands.md, docs/resource.md
	@cargo run --quiet -p xtask -- resource > docs/resource.md.new
	@mv docs/resource.md.new docs/resource.md

images: ## Build both images from this machine's own release build: target/images/operator.tar and processor.tar
	@scripts/images

kind-up: ## A cluster on this machine, by kind, with Strimzi and a Kafka of one node
	@scripts/kind up

kind-load: ## Build both images and bring them to the cluster of kind-up
	@scripts/kind load

kind-down: ## Delete the cluster of kind-up and its registry
	@scripts/kind down

# A few minutes: the plots show what is usual only once the pipeline has run for a while. It takes Chromium and pngquant.
pictures: ## Take the pictures in docs/pictures anew: the live page of the demo, in headless Chromium
	@command -v pngquant >/dev/null || { echo "pngquant is missing; install it (Debian: apt-get install pngquant)" >&2; exit 1; }
	@cargo build --quiet -p processor --bin processor
	@cargo run --quiet -p xtask -- pictures
	@pngquant --force --strip --speed 1 --ext .png 128 docs/pictures/*.png

bench: ## Measure the processor beside a plain pass-through, on a real Kafka
	@cargo build --quiet --release -p processor
	@cargo run --quiet --release -p bench
	@cargo run --quiet --release -p bench -- aggregation
