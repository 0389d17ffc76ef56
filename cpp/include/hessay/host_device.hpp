#pragma once

/// Marks what both the processor and a CUDA device run; empty for an ordinary compiler.
#ifdef __CUDACC__
#define HESSAY_HD __host__ __device__
#else
#define HESSAY_HD
#endif
