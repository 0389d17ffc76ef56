#include "bindings.hpp"
#include "hessay/curvature.hpp"
#include "hessay/factor.hpp"

#include <optional>

namespace hessay::bindings {

namespace {

Curvature parse_curvature(const std::string& name)
{
    if (name == "labels") return Curvature::labels;
    if (name == "softened") return Curvature::softened;
    if (name == "uniform") return Curvature::uniform;
    if (name == "mse") return Curvature::mse;
    if (name == "logistic") return Curvature::logistic;
    require(name == "margin", "weighting must be 'labels', 'softened', 'uniform', 'margin', 'mse' or 'logistic', got '",
            name, "'");
    return Curvature::margin;
}

void root(const std::string& weighting, const py::object& logits, double scale, Index target, const py::object& out)
{
    const Curvature kind = parse_curvature(weighting);
    const Array input(logits, "logits", Access::read), result(out, "out", Access::write);
    for_precision(input, [&](auto zero) {
        using T = decltype(zero);
        const auto input_view = input.rows<const T>();
        const auto result_view = result.rows<T>();
        const py::gil_scoped_release release;
        curvature_root<T>(kind, input_view, scale, target, result_view);
    });
}

void sketch(const std::string& weighting, const py::object& logits, double scale, std::uint64_t seed, Index first,
            const py::object& out)
{
    const Curvature kind = parse_curvature(weighting);
    const Array input(logits, "logits", Access::read), result(out, "out", Access::write);
    for_precision(input, [&](auto zero) {
        using T = decltype(zero);
        const auto input_view = input.rows<const T>();
        const auto result_view = result.rows<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context(seed);
        curvature_sketch<T>(ctx, kind, input_view, scale, first, result_view);
    });
}

/// A factor over borrowed Python arrays: rows (n, r, m), lift (m, d) or None.
class BorrowedFactor {
  public:
    BorrowedFactor(const py::object& rows, const py::object& lift) : rows_(rows, "rows", Access::read)
    {
        require<ShapeError>(rows_.ndim() == 3, "rows must have shape (n, r, m), got ", rows_.shape_text());
        if (!lift.is_none()) lift_.emplace(lift, "lift", Access::read);
    }
    const Array& rows() const { return rows_; }

    template <class T>
    Factor<T> view() const
    {
        Factor<T> factor;
        factor.rows = rows_.rows<const T>();
        if (lift_) {
            require<ShapeError>(lift_->ndim() == 2, "lift must have shape (m, d), got ", lift_->shape_text());
            factor.lift = lift_->rows<const T>();
        }
        factor.samples = rows_.dim(0);
        factor.check();
        return factor;
    }

  private:
    Array rows_;
    std::optional<Array> lift_;
};

void apply(const py::object& rows, const py::object& lift, const py::object& v, const py::object& out, Index threads)
{
    const BorrowedFactor borrowed(rows, lift);
    const Array directions(v, "V", Access::read), products(out, "out", Access::write);
    for_precision(borrowed.rows(), [&](auto zero) {
        using T = decltype(zero);
        const auto factor = borrowed.view<T>();
        const auto v_view = directions.matrix<const T>();
        const auto out_view = products.matrix<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context(0, threads);
        factor_apply<T>(ctx, factor, v_view, out_view);
    });
}

void apply_per_sample(const py::object& rows, const py::object& lift, const py::object& v, const py::object& out,
                      Index threads)
{
    const BorrowedFactor borrowed(rows, lift);
    const Array directions(v, "V", Access::read), products(out, "out", Access::write);
    for_precision(borrowed.rows(), [&](auto zero) {
        using T = decltype(zero);
        const auto factor = borrowed.view<T>();
        const auto v_view = directions.rows<const T>();
        const auto out_view = products.rows<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context(0, threads);
        factor_apply_per_sample<T>(ctx, factor, v_view, out_view);
    });
}

void dense(const py::object& rows, const py::object& lift, const py::object& out)
{
    const BorrowedFactor borrowed(rows, lift);
    const Array result(out, "out", Access::write);
    for_precision(borrowed.rows(), [&](auto zero) {
        using T = decltype(zero);
        const auto factor = borrowed.view<T>();
        const auto out_view = result.matrix<double>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        factor_dense<T>(ctx, factor, out_view);
    });
}

py::tuple eigenpairs(FactorSpectrum&& spectrum, Index size)
{
    const auto n_values = static_cast<Index>(spectrum.values.size());
    return py::make_tuple(owned_matrix(std::move(spectrum.values), n_values, 1),
                          owned_matrix(std::move(spectrum.vectors), size, n_values));
}

py::tuple eigen(const py::object& rows, const py::object& lift, Index count)
{
    const BorrowedFactor borrowed(rows, lift);
    return for_precision(borrowed.rows(), [&](auto zero) -> py::tuple {
        using T = decltype(zero);
        const auto factor = borrowed.view<T>();
        FactorSpectrum spectrum;
        {
            const py::gil_scoped_release release;
            Context ctx = python_context();
            spectrum = factor_eigen<T>(ctx, factor, count);
        }
        return eigenpairs(std::move(spectrum), factor.size());
    });
}

/// lift (m, d) or None as the view (d, m), data null for None.
class BorrowedLift {
  public:
    explicit BorrowedLift(const py::object& lift)
    {
        if (!lift.is_none()) lift_.emplace(lift, "lift", Access::read);
        require<ShapeError>(!lift_ || lift_->ndim() == 2, "lift must have shape (m, d), got ",
                            lift_ ? lift_->shape_text() : "");
    }
    template <class T>
    MatrixView<const T> view() const
    {
        return lift_ ? lift_->rows<const T>() : MatrixView<const T>{};
    }

  private:
    std::optional<Array> lift_;
};

void add_moment(const py::object& rows, const py::object& moment)
{
    const Array input(rows, "rows", Access::read), sum(moment, "moment", Access::write);
    for_precision(input, [&](auto zero) {
        using T = decltype(zero);
        const auto input_view = input.rows<const T>();
        const auto sum_view = sum.matrix<double>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        moment_add<T>(ctx, input_view, sum_view);
    });
}

void apply_moment(const py::object& moment, const py::object& lift, const py::object& v, const py::object& out)
{
    const Array second(moment, "moment", Access::read), directions(v, "V", Access::read);
    const Array products(out, "out", Access::write);
    const BorrowedLift borrowed(lift);
    for_precision(directions, [&](auto zero) {
        using T = decltype(zero);
        const auto m_view = second.matrix<const double>();
        const auto lift_view = borrowed.view<T>();
        const auto v_view = directions.matrix<const T>();
        const auto out_view = products.matrix<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        moment_apply<T>(ctx, m_view, lift_view, v_view, out_view);
    });
}

void dense_moment(const py::object& moment, const py::object& lift, const py::object& out)
{
    const Array second(moment, "moment", Access::read), like(lift, "lift", Access::read);
    const Array result(out, "out", Access::write);
    for_precision(like, [&](auto zero) {
        using T = decltype(zero);
        const auto m_view = second.matrix<const double>();
        const auto lift_view = like.rows<const T>();
        const auto out_view = result.matrix<double>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        moment_dense<T>(ctx, m_view, lift_view, out_view);
    });
}

py::tuple eigen_moment(const py::object& moment, const py::object& lift, Index count)
{
    const Array second(moment, "moment", Access::read);
    const BorrowedLift borrowed(lift);
    const auto m_view = second.matrix<const double>();
    const auto solve = [&](auto zero) {
        using T = decltype(zero);
        const auto lift_view = borrowed.view<T>();
        FactorSpectrum spectrum;
        {
            const py::gil_scoped_release release;
            Context ctx = python_context();
            spectrum = moment_eigen<T>(ctx, m_view, lift_view, count);
        }
        return eigenpairs(std::move(spectrum), lift_view.data ? lift_view.rows : m_view.rows);
    };
    return lift.is_none() ? solve(double{}) : for_precision(Array(lift, "lift", Access::read), solve);
}

} // namespace

void bind_factor(py::module_& module)
{
    module.def("curvature_root", &root, py::arg("weighting"), py::arg("logits"), py::arg("scale"), py::arg("target"),
               py::arg("out"), "out (n, r, C) <- F with F'F = S per sample, from logits (n, C).");
    module.def("curvature_sketch", &sketch, py::arg("weighting"), py::arg("logits"), py::arg("scale"), py::arg("seed"),
               py::arg("first"), py::arg("out"), "out (n, s, C) <- random rows g with E[sum g g'] = S per sample.");
    module.def("factor_apply", &apply, py::arg("rows"), py::arg("lift"), py::arg("v"), py::arg("out"),
               py::arg("threads") = 1, "out (d, k) <- H V, averaged; V and out column-major.");
    module.def("factor_apply_per_sample", &apply_per_sample, py::arg("rows"), py::arg("lift"), py::arg("v"),
               py::arg("out"), py::arg("threads") = 1, "out (n, d, k) <- H_i V_i; V and out C-contiguous.");
    module.def("factor_dense", &dense, py::arg("rows"), py::arg("lift"), py::arg("out"), "out (d, d) float64 <- H.");
    module.def("moment_add", &add_moment, py::arg("rows"), py::arg("moment"),
               "moment (m, m) float64 += rows' rows, rows (n, r, m) or (n, m).");
    module.def("moment_apply", &apply_moment, py::arg("moment"), py::arg("lift"), py::arg("v"), py::arg("out"),
               "out (d, k) <- lift' M lift V for lift (m, d) or None; V and out column-major.");
    module.def("moment_dense", &dense_moment, py::arg("moment"), py::arg("lift"), py::arg("out"),
               "out (d, d) float64 <- lift' M lift, computed in the precision of lift.");
    module.def("moment_eigen", &eigen_moment, py::arg("moment"), py::arg("lift"), py::arg("count") = -1,
               "(values (k, 1) descending, vectors (d, k)) of lift' M lift; count -1 for all min(d, m).");
    module.def("factor_eigen", &eigen, py::arg("rows"), py::arg("lift"), py::arg("count") = -1,
               "(values (k, 1) descending, vectors (d, k)) of H; count -1 for all min(d, m, n r).");
}

} // namespace hessay::bindings
