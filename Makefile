# make demo   set up, then train and scan two small networks on real handwriting
# make test   set up, then run every test
# Both create .venv when it is missing and install this checkout into it with the tested versions.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SOURCES := $(shell git ls-files cpp python CMakeLists.txt pyproject.toml constraints.txt LICENSE README.md 2>/dev/null)

# One core a process: the tests and the demo are many small problems, and BLAS pools would fight over the cores.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: demo test lint sanitize cuda fuzz clean

demo: $(VENV)/.ready
	$(BIN)/hessay demo --out hessay-demo

test: $(VENV)/.ready
	$(BIN)/python -m pytest

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.hpp' '*.cpp' '*.cu' '*.cuh' 'cpp/simd/*.inc')
	$(BIN)/gersemi --check CMakeLists.txt cuda/CMakeLists.txt

# The native tests under AddressSanitizer and UndefinedBehaviorSanitizer, against a module built for it.
sanitize: $(VENV)/.ready
	bash tools/sanitize.sh $(BIN)/python

# The module for CUDA devices: what its kernels take of a device; built, linked, loaded, tested. Needs nvcc 13.
cuda: $(VENV)/.ready
	$(BIN)/python tools/check_registers.py
	bash tools/check_cuda.sh $(BIN)/python

# Spoiled files of every kind into the loaders, ten minutes of them unless SECONDS_OF_FUZZ says otherwise.
SECONDS_OF_FUZZ ?= 600
fuzz: $(VENV)/.ready
	PYTHONPATH=tests/support $(BIN)/python tools/fuzz_files.py --seconds $(SECONDS_OF_FUZZ)

clean:
	rm -rf build $(VENV) hessay-demo

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'hessay needs Python 3.10 or newer; set PYTHON=/path/to/python3' >&2; exit 1; }
	@command -v g++ >/dev/null || command -v clang++ >/dev/null || \
	  { echo 'hessay compiles C++17: install a compiler first, on Debian: apt-get install g++' >&2; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || \
	  { echo 'the Python headers are missing; on Debian: apt-get install python3-dev' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo 'python3 -m venv failed; on Debian: apt-get install python3-venv' >&2; rm -rf $(VENV); exit 1; }
	touch $@

$(VENV)/.ready: $(VENV)/.python $(SOURCES)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt '.[cli,test]'
	touch $@

$(VENV)/.lint: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt '.[cli,test,lint]'
	touch $@
