#!/usr/bin/env bash
# Builds hessay._cuda, runs its tests and measures it, on a machine with a GPU. usage: bench/gpu/run.sh PYTHON JSON
# PYTHON has hessay, its test dependencies and torch for CUDA.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1 json=$(realpath -m "$2")
nvidia=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib") + "/nvidia/cu13")')
if [ -e "$nvidia/lib/libcublas.so.13" ] && [ -e "$nvidia/include/cublas_v2.h" ]; then
  export HESSAY_NVIDIA_ROOT="$nvidia" # the one torch has loaded already
fi
bash tools/check_cuda.sh "$python"
PYTHONPATH="$PWD/build/cuda/site:$PWD/bench/gpu" "$python" bench/gpu/bench_gpu.py --json "$json"
