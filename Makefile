# Copper: the commands of a developer's day. `make` alone lists them.
# Each is a script in scripts/, so that paths with spaces and signals are handled in one language.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build run test test-postgres bench soak fuzz fuzz-where fuzz-protocol crash-sim format check docs install clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\): ## /  make \1	/p' Makefile

build: ## build build/release/copper
	@scripts/install build
	@scripts/build release

run: ## try it: a private Postgres, a sample table with writes, Copper on PORT (default 3000), a page to open
	@scripts/install run
	@exec scripts/run

test: ## install what is missing, build, run every test
	@scripts/install test
	@exec scripts/test

test-postgres: ## what talks to Postgres with other major versions of it; VERSIONS="14 16 17 18"
	@scripts/install test
	@exec scripts/test-postgres

bench: ## measure, each figure against its yardstick
	@scripts/install bench
	@scripts/build release
	@exec bench/run

soak: ## random load on actors and registries for SOAK_SECONDS (default 600); SOAK_PRESETS="release tsan"
	@scripts/install test
	@exec scripts/soak

fuzz: ## run every fuzz target for FUZZ_SECONDS (default 60)
	@scripts/install test
	@exec scripts/fuzz

fuzz-where: ## random where clauses against Postgres for FUZZ_SECONDS (default 60), from a fresh seed
	@scripts/install test
	@exec scripts/fuzz-where

fuzz-protocol: ## random right and wrong requests against a server that is killed, for FUZZ_SECONDS (default 600), ASan and release in turn
	@scripts/install test
	@exec scripts/fuzz-protocol

crash-sim: ## the storage on a disk that crashes, SEEDS times (default 2000), each in its own way
	@scripts/install test
	@exec scripts/crash-sim

format: ## put our C sources into the house format
	@scripts/install test
	@exec scripts/format

check: ## format, layering, banned calls, READMEs, changelog, static analysis
	@scripts/install test
	@exec scripts/check

docs: ## libcopper's API documentation: build/docs/api/index.html
	@scripts/install docs
	@exec scripts/docs

install: ## copper and libcopper under PREFIX (default /usr/local), all of it below DESTDIR if that is set
	@scripts/install build
	@exec scripts/install-files

clean: ## remove what was built and the data of make run
	@exec scripts/clean
