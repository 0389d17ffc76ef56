#include "bindings.hpp"
#include "hessay/block_lanczos.hpp"
#include "hessay/factor.hpp"
#include "lanczos_answer.hpp"

#include <optional>

namespace hessay::bindings {

namespace {

/// A Python callable as an operator: it gets its own (d, b) column-major array, so it may keep or change it.
template <class T>
LinearOperator<T> callback_operator(const py::function& function, Index size)
{
    return {size, [&function](Context&, MatrixView<const T> v, MatrixView<T> av) {
                const py::gil_scoped_acquire gil;
                const py::object product =
                    function(owned_matrix(std::vector<T>(v.data, v.data + v.rows * v.cols), v.rows, v.cols));
                Array(product, "the operator's product", Access::read).template copy_to<T>(av);
            }};
}

template <class T>
py::dict solve(const LinearOperator<T>& op, const LanczosOptions& options, std::uint64_t seed, const py::object& start)
{
    std::optional<Array> start_array; // of the operator's precision
    if (!start.is_none()) start_array.emplace(start, "start", Access::read);
    const auto first = start_array ? start_array->matrix<const T>() : MatrixView<const T>{};
    LanczosResult<T> result;
    {
        const py::gil_scoped_release release;
        Context ctx = python_context(seed);
        result = block_lanczos<T>(ctx, op, options, first);
    }
    const auto found = static_cast<Index>(result.values.size());
    py::dict out = lanczos_answer(result);
    out["vectors"] = owned_matrix(std::move(result.vectors), op.size, found);
    return out;
}

py::dict lanczos_dense(const py::object& a, const LanczosOptions& options, std::uint64_t seed, const py::object& start)
{
    const Array array(a, "the operator", Access::read);
    return for_precision(array, [&](auto zero) {
        using T = decltype(zero);
        return solve<T>(dense_operator<T>(array.matrix<const T>()), options, seed, start);
    });
}

py::dict lanczos_factor(const py::object& rows, const py::object& lift, const LanczosOptions& options,
                        std::uint64_t seed, const py::object& start)
{
    const Array rows_array(rows, "rows", Access::read);
    std::optional<Array> lift_array;
    if (!lift.is_none()) lift_array.emplace(lift, "lift", Access::read);
    require<ShapeError>(rows_array.ndim() == 3, "rows must have shape (n, r, m), got ", rows_array.shape_text());
    return for_precision(rows_array, [&](auto zero) {
        using T = decltype(zero);
        Factor<T> factor{rows_array.rows<const T>(), {}, rows_array.dim(0)};
        if (lift_array) factor.lift = lift_array->rows<const T>();
        return solve<T>(factor_operator<T>(factor), options, seed, start);
    });
}

py::dict lanczos_callback(const py::function& apply, Index size, bool single, const LanczosOptions& options,
                          std::uint64_t seed, const py::object& start)
{
    if (single) return solve<float>(callback_operator<float>(apply, size), options, seed, start);
    return solve<double>(callback_operator<double>(apply, size), options, seed, start);
}

} // namespace

void bind_lanczos(py::module_& module)
{
    py::class_<LanczosOptions>(module, "LanczosOptions")
        .def(py::init([](Index k, const std::string& which, double tol, Index block, Index max_basis,
                         Index max_products, double miss_probability, double max_seconds, const py::object& progress) {
                 return LanczosOptions{
                     k,           parse_which(which),         tol, block, max_basis, max_products, miss_probability,
                     max_seconds, progress_callback(progress)};
             }),
             py::kw_only(), py::arg("k"), py::arg("which"), py::arg("tol"), py::arg("block"), py::arg("max_basis"),
             py::arg("max_products"), py::arg("miss_probability"), py::arg("max_seconds") = 0.0,
             py::arg("progress") = py::none(), py::keep_alive<1, 10>());
    module.def("lanczos_dense", &lanczos_dense, py::arg("a"), py::arg("options"), py::arg("seed"),
               py::arg("start") = py::none(), "Eigenpairs of a dense symmetric (d, d) array.");
    module.def("lanczos_factor", &lanczos_factor, py::arg("rows"), py::arg("lift"), py::arg("options"), py::arg("seed"),
               py::arg("start") = py::none(), "Eigenpairs of a factored Hessian.");
    module.def("lanczos_callback", &lanczos_callback, py::arg("apply"), py::arg("size"), py::arg("single"),
               py::arg("options"), py::arg("seed"), py::arg("start") = py::none(),
               "Eigenpairs of the operator V (d, b) -> A V.");
}

} // namespace hessay::bindings
