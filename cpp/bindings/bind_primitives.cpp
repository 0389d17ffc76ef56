#include "bindings.hpp"
#include "hessay/orthonormalize.hpp"
#include "hessay/primitives.hpp"
#include "hessay/symmetric_product.hpp"

namespace hessay::bindings {

namespace {

py::tuple orthonormalize_arrays(const py::object& q, const py::object& w, double reference, std::uint64_t seed)
{
    const Array basis(q, "q", Access::read), block(w, "w", Access::write);
    return for_precision(block, [&](auto zero) -> py::tuple {
        using T = decltype(zero);
        const auto basis_view = basis.matrix<const T>();
        const auto block_view = block.matrix<T>();
        const Index m = basis_view.cols, b = block_view.cols;
        std::vector<double> c(static_cast<std::size_t>(m * b)), r(static_cast<std::size_t>(b * b));
        std::vector<double> dropped(static_cast<std::size_t>(b));
        OrthonormalBlock result;
        {
            const py::gil_scoped_release release;
            Context ctx = python_context(seed);
            result = orthonormalize<T>(ctx, basis_view, block_view, reference, {c.data(), m, b, m}, {r.data(), b, b, b},
                                       dropped.data());
        }
        return py::make_tuple(result.cols, result.replaced, owned_matrix(std::move(c), m, b),
                              owned_matrix(std::move(r), b, b), owned_matrix(std::move(dropped), b, 1));
    });
}

void gaussian(const py::object& out, std::uint64_t seed)
{
    const Array array(out, "out", Access::write);
    for_precision(array, [&](auto zero) {
        using T = decltype(zero);
        const auto view = array.matrix<T>();
        const py::gil_scoped_release release;
        Context ctx(seed);
        gaussian_fill<T>(ctx, view);
    });
}

void gram_matrix(const py::object& x, const py::object& out)
{
    const Array input(x, "x", Access::read), result(out, "out", Access::write);
    for_precision(input, [&](auto zero) {
        using T = decltype(zero);
        const auto input_view = input.matrix<const T>();
        const auto result_view = result.matrix<double>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        gram<T>(ctx, input_view, result_view);
    });
}

void symmetric_product_into(const py::object& a, const py::object& v, const py::object& out, Index threads)
{
    const Array matrix(a, "a", Access::read), block(v, "v", Access::read), result(out, "out", Access::write);
    for_precision(matrix, [&](auto zero) {
        using T = decltype(zero);
        const auto matrix_view = matrix.matrix<const T>();
        const auto block_view = block.matrix<const T>();
        const auto result_view = result.matrix<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context(0, threads);
        symmetric_product<T>(ctx, matrix_view, block_view, result_view);
    });
}

py::tuple asymmetry_of(const py::object& a)
{
    const Array matrix(a, "a", Access::read);
    return for_precision(matrix, [&](auto zero) -> py::tuple {
        using T = decltype(zero);
        const auto view = matrix.matrix<const T>();
        Asymmetry found;
        {
            const py::gil_scoped_release release;
            Context ctx = python_context();
            found = asymmetry<T>(ctx, view);
        }
        return py::make_tuple(found.difference, found.largest);
    });
}

} // namespace

void bind_primitives(py::module_& module)
{
    module.def("orthonormalize", &orthonormalize_arrays, py::arg("q"), py::arg("w"), py::arg("reference") = 0.0,
               py::arg("seed") = 0,
               "Orthonormalise w (d, b) in place against q (d, m); returns (cols, replaced, c, r, dropped).");
    module.def("gaussian_fill", &gaussian, py::arg("out"), py::arg("seed"),
               "Fill out (rows, cols), column-major, with N(0, 1) numbers of the seed's first stream.");
    module.def("gram", &gram_matrix, py::arg("x"), py::arg("out"), "out (m, m) float64 <- x'x for x (n, m).");
    module.def("symmetric_product", &symmetric_product_into, py::arg("a"), py::arg("v"), py::arg("out"),
               py::arg("threads") = 1,
               "out (d, b) <- a v for a symmetric a (d, d), column-major, of which the lower triangle is read.");
    module.def("asymmetry", &asymmetry_of, py::arg("a"),
               "Largest |a_ij - a_ji| and |a_ij| of a square array; NaN for both when it is not finite.");
    module.def("instruction_set", &instruction_set,
               "'avx512', 'avx2' or 'baseline': what symmetric_product uses, or what HESSAY_ISA asks for.");
}

} // namespace hessay::bindings
