#pragma once
#include "bindings.hpp"
#include "hessay/stepwise_passes.hpp"

#include <pybind11/stl.h>

namespace hessay::bindings {

/// Passes over X that a Python object makes, on a device say. It has shape (n, p), single (whether X holds floats) and,
/// all arrays float64, mean and scale (p,), columns a list, F = Z[:, columns] @ a + Y @ b for a (k, q) and b (C, q):
///
///     begin(y (n, C), root (n,) or (0,), centre) -> mean (C,), largest (C,), scale, Y'Y (C, C)
///                                             before all others; y is not to be kept
///     read_rows(list) -> (m, p)               read_column(j) -> (n,)
///     measure(mean, scale) -> |z_j|^2 (p,), Z'[root, Y] (p, 1 + C)
///     gram_columns(mean, scale, columns) -> Z'Z[:, columns] (p, L)
///     full_gram(mean, scale) -> Z'Z (p, p)
///     project(mean, scale, columns, a, b) -> Z'F (p, q)
///     sums(mean, scale, columns, a, b) -> Z[:, columns]'F (k, q), F'F (q, q)
///
/// The object must outlive the passes. Methods here are called without the GIL.
class CallbackPasses final : public StepwisePasses {
  public:
    CallbackPasses(py::handle object, std::pair<Index, Index> shape, bool single)
        : StepwisePasses(shape.first, shape.second, single), object_(object)
    {
    }

    StepwiseOutputs begin(Context&, const double* y, Index outputs, const std::vector<double>& root,
                          bool centre) override
    {
        const py::gil_scoped_acquire gil;
        outputs_ = outputs;
        const auto width = static_cast<std::size_t>(outputs);
        const py::array_t<double> given({rows, outputs}, y, py::none()); // with an owner: no copy
        const py::tuple found = object_.attr("begin")(given, vector(root), centre);
        StepwiseOutputs out{std::vector<double>(width), std::vector<double>(width), std::vector<double>(width * width)};
        take(found[0], "begin", {out.mean.data(), outputs, 1, outputs});
        take(found[1], "begin", {out.largest.data(), outputs, 1, outputs});
        out.scale = found[2].cast<double>();
        take(found[3], "begin", {out.total.data(), outputs, outputs, outputs});
        return out;
    }
    void read_rows(const std::vector<Index>& which, MatrixView<double> out) override
    {
        const py::gil_scoped_acquire gil;
        take(object_.attr("read_rows")(which), "read_rows", out);
    }
    std::vector<double> read_column(Index j) override
    {
        const py::gil_scoped_acquire gil;
        std::vector<double> out(static_cast<std::size_t>(rows));
        take(object_.attr("read_column")(j), "read_column", {out.data(), rows, 1, rows});
        return out;
    }
    void measure(Context&, const StepwiseStandard& standard, std::vector<double>& squares,
                 MatrixView<double> out) override
    {
        const py::gil_scoped_acquire gil;
        const py::tuple both = object_.attr("measure")(vector(standard.mean), vector(standard.scale));
        squares.assign(static_cast<std::size_t>(cols), 0.0);
        take(both[0], "measure", {squares.data(), cols, 1, cols});
        take(both[1], "measure", out);
    }
    void gram_columns(Context&, const StepwiseStandard& standard, const std::vector<Index>& columns,
                      MatrixView<double> out) override
    {
        const py::gil_scoped_acquire gil;
        take(object_.attr("gram_columns")(vector(standard.mean), vector(standard.scale), columns), "gram_columns", out);
    }
    void full_gram(Context&, const StepwiseStandard& standard, MatrixView<double> out) override
    {
        const py::gil_scoped_acquire gil;
        take(object_.attr("full_gram")(vector(standard.mean), vector(standard.scale)), "full_gram", out);
    }
    void project(Context&, const StepwiseStandard& standard, const StepwiseCombination& f,
                 MatrixView<double> out) override
    {
        const py::gil_scoped_acquire gil;
        take(combine("project", standard, f), "project", out);
    }
    void sums(Context&, const StepwiseStandard& standard, const StepwiseCombination& f, MatrixView<double> cross,
              MatrixView<double> products) override
    {
        const py::gil_scoped_acquire gil;
        const py::tuple both = combine("sums", standard, f);
        take(both[0], "sums", cross);
        take(both[1], "sums", products);
    }
    void within(Context& ctx, const StepwiseStandard& standard, const std::vector<std::vector<Index>>& units,
                std::vector<std::vector<double>>& out) override
    {
        out.assign(units.size(), {});
        for (std::size_t u = 0; u < units.size(); ++u) {
            const auto k = static_cast<Index>(units[u].size());
            if (k == 1) continue;
            StepwiseCombination own{units[u], k, std::vector<double>(static_cast<std::size_t>(k * k), 0.0), {}};
            for (Index j = 0; j < k; ++j) own.of_columns[j + j * k] = 1;
            out[u].resize(static_cast<std::size_t>(k * k));
            std::vector<double> cross(out[u].size());
            sums(ctx, standard, own, {cross.data(), k, k, k}, {out[u].data(), k, k, k});
            ctx.poll();
        }
    }

  private:
    using Doubles = py::array_t<double, py::array::f_style | py::array::forcecast>;

    static py::array_t<double> vector(const std::vector<double>& values)
    {
        return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
    }

    py::object combine(const char* method, const StepwiseStandard& standard, const StepwiseCombination& f)
    {
        const auto k = static_cast<Index>(f.columns.size());
        auto b = f.of_outputs;
        if (b.empty()) b.resize(static_cast<std::size_t>(outputs_ * f.count), 0.0);
        return object_.attr(method)(vector(standard.mean), vector(standard.scale), f.columns,
                                    owned_matrix(std::vector<double>(f.of_columns), k, f.count),
                                    owned_matrix(std::move(b), outputs_, f.count));
    }

    // Copies what a method returned, (rows, cols) or a vector for one column.
    static void take(const py::object& returned, const char* method, MatrixView<double> out)
    {
        const Doubles array = Doubles::ensure(returned);
        require<ShapeError>(array && array.ndim() <= 2 && array.size() == out.rows * out.cols &&
                                (array.ndim() == 1 || array.shape(0) == out.rows),
                            method, " must return an array of ", out.rows, " by ", out.cols, " numbers");
        for (Index j = 0; j < out.cols; ++j) std::copy_n(array.data() + j * out.rows, out.rows, out.column(j));
    }

    py::handle object_;
    Index outputs_ = 0;
};

inline std::unique_ptr<StepwisePasses> callback_passes(const py::object& object)
{
    return std::make_unique<CallbackPasses>(object, object.attr("shape").cast<std::pair<Index, Index>>(),
                                            object.attr("single").cast<bool>());
}

} // namespace hessay::bindings
