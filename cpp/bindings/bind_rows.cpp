#include "bindings.hpp"
#include "hessay/primitives.hpp"
#include "hessay/row_update.hpp"

#include <algorithm>
#include <vector>

namespace hessay::bindings {

namespace {

template <class T>
FittedFactor<T> borrowed(const Array& factor, const Array& rss)
{
    const FittedFactor<T> fit{factor.rows<T>(), rss.matrix<double>().data};
    require<ShapeError>(fit.factor.rows >= fit.factor.cols && rss.dim(0) == fit.n_outputs(), "factor is ",
                        factor.shape_text(), " and rss ", rss.shape_text(), "; they must be (k, k + c) and (c, 1)");
    return fit;
}

void add(const py::object& factor, const py::object& rss, const py::object& rows)
{
    const Array state(factor, "factor", Access::write), sums(rss, "rss", Access::write);
    const Array added(rows, "rows", Access::read);
    for_precision(state, [&](auto zero) {
        using T = decltype(zero);
        const auto fit = borrowed<T>(state, sums);
        const Index m = added.dim(0), width = added.dim(1);
        require<ShapeError>(width == fit.factor.rows, "rows must have ", fit.factor.rows, " columns, got ", width);
        std::vector<T> copy(static_cast<std::size_t>(m * width));
        const MatrixView<T> block{copy.data(), m, width, m};
        if (m == 1) {
            const auto row = added.rows<const T>();
            std::copy_n(row.data, width, copy.data());
        } else {
            added.copy_to<T>(block);
        }
        const py::gil_scoped_release release;
        Context ctx = python_context();
        if (m == 1)
            add_row<T>(fit, copy.data());
        else
            add_rows<T>(ctx, fit, block);
    });
}

double remove(const py::object& factor, const py::object& rss, const py::object& rows)
{
    const Array state(factor, "factor", Access::write), sums(rss, "rss", Access::write);
    const Array deleted(rows, "rows", Access::read);
    return for_precision(state, [&](auto zero) -> double {
        using T = decltype(zero);
        const auto fit = borrowed<T>(state, sums);
        const Index m = deleted.dim(0), width = deleted.dim(1);
        require<ShapeError>(width == fit.factor.rows, "rows must have ", fit.factor.rows, " columns, got ", width);
        if (m == 1) {
            const auto row = deleted.rows<const T>();
            const py::gil_scoped_release release;
            Context ctx = python_context();
            return delete_row<T>(ctx, fit, row.data);
        }
        std::vector<T> copy(static_cast<std::size_t>(m * width));
        const MatrixView<T> block{copy.data(), m, width, m};
        deleted.copy_to<T>(block);
        const py::gil_scoped_release release;
        Context ctx = python_context();
        return delete_rows<T>(ctx, fit, block);
    });
}

} // namespace

void bind_rows(py::module_& module)
{
    module.def("rows_add", &add, py::arg("factor"), py::arg("rss"), py::arg("rows"),
               "Add rows (m, k + c) to the fit [R G] (k, k + c), C order, and rss (c, 1) float64, in place.");
    module.def("rows_delete", &remove, py::arg("factor"), py::arg("rss"), py::arg("rows"),
               "Delete rows (m, k + c) from the fit, in place or not at all; returns a lower bound on 1 - h.");
}

} // namespace hessay::bindings
