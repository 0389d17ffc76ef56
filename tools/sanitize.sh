#!/usr/bin/env bash
# Builds the core with AddressSanitizer and UndefinedBehaviorSanitizer and runs the native tests against it.
# usage: tools/sanitize.sh PYTHON      (a Python with hessay's test dependencies installed)
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

# Build tools of their own, so that the tested environment stays what the constraints say.
"$python" -m venv "$tools/venv"
"$tools/venv/bin/python" -m pip install --quiet --constraint constraints.txt cmake ninja pybind11
export PATH="$tools/venv/bin:$PATH"
cmake --preset sanitize \
  -DCMAKE_PREFIX_PATH="$("$tools/venv/bin/python" -m pybind11 --cmakedir)" \
  -DPython_EXECUTABLE="$(command -v "$python")"
cmake --build --preset sanitize

site=build/sanitize/site
rm -rf "$site"
mkdir -p "$site"
cp -r python/hessay "$site/"
rm -f "$site"/hessay/_core*.so
cp build/sanitize/_core*.so "$site/hessay/"

# The interpreter is not instrumented: the runtime must come first, and what Python and torch keep until exit is no leak.
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so.6)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc PYTHONPATH="$site"
"$python" -c 'import hessay._core as core; assert "sanitize" in core.__file__, core.__file__'
exec "$python" -m pytest -q -p no:cacheprovider \
  tests/test_block_lanczos.py tests/test_certificate.py tests/test_eigsh_options.py tests/test_orthonormalize.py \
  tests/test_hessian.py tests/test_hessian_grid.py tests/test_hessian_laws.py \
  tests/test_network.py tests/test_program.py tests/test_tiles.py \
  tests/test_factor.py tests/test_metric.py tests/test_sketch.py tests/test_symmetric_product.py \
  tests/test_marchenko_pastur.py tests/test_marchenko_pastur_transforms.py tests/test_tracy_widom.py \
  tests/test_edge.py tests/test_edge_methods.py tests/test_silverstein.py tests/test_spikes.py \
  tests/test_cuda_factor.py tests/test_cuda_products.py tests/test_cuda_stepwise.py tests/test_cuda_stepwise_errors.py \
  tests/test_cuda_lanczos.py tests/test_cuda_lanczos_calls.py \
  tests/test_stepwise.py tests/test_stepwise_directions.py tests/test_stepwise_input.py tests/test_stepwise_rows.py
