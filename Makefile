# Each of demo, test, bench and lint sets up all that it needs, in .venv.
PYTHON ?= python3
# The torch of CPU-only set-ups; the package itself asks for torch>=2.10. Any requirement that pip understands.
TORCH ?= torch==2.13.0
OUT ?= out
LINTERS := ruff==0.17.6 mypy==2.4.1 clang-format==23.1.5

VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find csrc -type f) setup.py pyproject.toml
CXX_SOURCES := $(shell find csrc tests -name '*.cpp' -o -name '*.h' -o -name '*.inl' -o -name '*.cu' -o -name '*.cuh')

.PHONY: demo test test-toolkit bench lint format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/sdfido demo --out $(OUT)

test: $(VENV)/.installed
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# What the CUDA compiler makes of the kernels, and one wheel under several builds of torch.
test-toolkit: $(VENV)/.installed
	$(BIN)/python -m pytest -m toolkit tests/test_cuda_build.py tests/test_one_library.py $(PYTEST_ARGS)

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/fused_step.py

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
	touch $@

$(VENV)/.linters: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(LINTERS)
	touch $@
