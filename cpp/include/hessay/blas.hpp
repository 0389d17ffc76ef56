#pragma once

namespace hessay {

/// The Fortran BLAS and LAPACK routines the primitives call, as pointers. Nothing is linked: the bindings fill the
/// table from the library SciPy already carries, so a process never holds a second BLAS with a second thread pool.
template <class T>
struct BlasTable {
    using Gemm = void(const char*, const char*, const int*, const int*, const int*, const T*, const T*, const int*,
                      const T*, const int*, const T*, T*, const int*);
    using Gemv = void(const char*, const int*, const int*, const T*, const T*, const int*, const T*, const int*,
                      const T*, T*, const int*);
    using Syrk = void(const char*, const char*, const int*, const int*, const T*, const T*, const int*, const T*, T*,
                      const int*);
    using Syevd = void(const char*, const char*, const int*, T*, const int*, T*, T*, const int*, int*, const int*,
                       int*);
    using Geqrf = void(const int*, const int*, T*, const int*, T*, T*, const int*, int*);
    using Orgqr = void(const int*, const int*, const int*, T*, const int*, const T*, T*, const int*, int*);

    Gemm* gemm = nullptr;
    Gemv* gemv = nullptr;
    Syrk* syrk = nullptr;
    Syevd* syevd = nullptr;
    Geqrf* geqrf = nullptr;
    Orgqr* orgqr = nullptr;
};

/// The table for T = float or double; empty until the bindings (or a test program) filled it.
template <class T>
BlasTable<T>& blas();

} // namespace hessay
