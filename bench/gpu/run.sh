#!/usr/bin/env bash
# Builds hessay._cuda, runs its tests and measures it, on a machine with a GPU, in under ten minutes.
# usage: bench/gpu/run.sh PYTHON JSON [OPTION of bench_gpu.py ...]
# PYTHON has what hessay and its tests of a device import, and torch for CUDA; hessay itself is built where it is not
# installed (tools/check_cuda.sh). SECONDS_IN_ALL: 570 by default.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1 json=$(realpath -m "$2")
shift 2
nvidia=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib") + "/nvidia/cu13")')
if [ -e "$nvidia/lib/libcublas.so.13" ] && [ -e "$nvidia/include/cublas_v2.h" ]; then
  export HESSAY_NVIDIA_ROOT="$nvidia" # the one torch has loaded already
fi
bash tools/check_cuda.sh "$python"
left=$((${SECONDS_IN_ALL:-570} - SECONDS))
if [ "$left" -lt 30 ]; then
  echo "building and testing took $SECONDS s; nothing is left to measure in" >&2
  exit 1
fi
PYTHONPATH="$PWD/build/cuda/site${PYTHONPATH:+:$PYTHONPATH}" timeout $((left + 20)) \
  "$python" bench/gpu/bench_gpu.py --json "$json" --seconds "$left" "$@"
