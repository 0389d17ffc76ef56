#include "bindings.hpp"
#include "hessay/blas.hpp"

namespace hessay::bindings {

namespace {

template <class Routine>
void load(Routine*& slot, const py::dict& capsules, const std::string& name)
{
    require(capsules.contains(name.c_str()), "SciPy exports no routine ", name, "; install SciPy 1.12 or newer");
    const py::capsule capsule = capsules[name.c_str()];
    const std::string signature = capsule.name() ? capsule.name() : "";
    // The capsule's name is its C signature: a SciPy with 64-bit BLAS integers would not say "int *".
    require(signature.find("int *") != std::string::npos, "SciPy's ", name, " has the unexpected signature '",
            signature, "'; a build with 32-bit BLAS integers is needed");
    slot = reinterpret_cast<Routine*>(PyCapsule_GetPointer(capsule.ptr(), capsule.name()));
}

template <class T>
void load_table(char precision, const py::dict& blas_capsules, const py::dict& lapack_capsules)
{
    BlasTable<T>& table = blas<T>();
    load(table.gemm, blas_capsules, precision + std::string("gemm"));
    load(table.gemv, blas_capsules, precision + std::string("gemv"));
    load(table.syrk, blas_capsules, precision + std::string("syrk"));
    load(table.syevd, lapack_capsules, precision + std::string("syevd"));
    load(table.geqrf, lapack_capsules, precision + std::string("geqrf"));
    load(table.orgqr, lapack_capsules, precision + std::string("orgqr"));
}

} // namespace

std::string load_blas()
{
    const py::dict blas_capsules = py::module_::import("scipy.linalg.cython_blas").attr("__pyx_capi__");
    const py::dict lapack_capsules = py::module_::import("scipy.linalg.cython_lapack").attr("__pyx_capi__");
    load_table<float>('s', blas_capsules, lapack_capsules);
    load_table<double>('d', blas_capsules, lapack_capsules);
    const py::capsule dgemm = blas_capsules["dgemm"];
    return dgemm.name();
}

} // namespace hessay::bindings
