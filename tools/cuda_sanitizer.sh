#!/usr/bin/env bash
# The tests on a device under compute-sanitizer: memcheck for addresses, racecheck for shared memory. Needs a GPU,
# hessay._cuda, and compute-sanitizer on PATH (in the CUDA toolkit, or `pip install nvidia-cuda-sanitizer-api`).
# usage: tools/cuda_sanitizer.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
command -v compute-sanitizer >/dev/null || { echo 'compute-sanitizer was not found' >&2; exit 1; }
# A run in which every test was skipped would look like a clean one.
PYTHONPATH="tests/support${PYTHONPATH:+:$PYTHONPATH}" "$python" -c \
  'import sys; from cuda_device import why_no_gpu; sys.exit(why_no_gpu())'
export PYTORCH_NO_CUDA_MEMORY_CACHING=1 # each tensor an allocation of its own: one number too far is seen
for tool in memcheck racecheck; do
  compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" -m pytest -q -p no:cacheprovider tests/test_cuda_gpu*.py
done
