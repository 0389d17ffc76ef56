#include "bindings.hpp"
#include "callback_passes.hpp"
#include "hessay/stepwise.hpp"

#include <pybind11/stl.h>

namespace hessay::bindings {

namespace {

StepwiseStrategy strategy_named(const std::string& name)
{
    if (name == "auto") return StepwiseStrategy::automatic;
    if (name == "gram") return StepwiseStrategy::gram;
    if (name == "stream") return StepwiseStrategy::stream;
    require(name == "prefetch", "strategy must be 'auto', 'gram', 'stream' or 'prefetch', got '", name, "'");
    return StepwiseStrategy::prefetch;
}

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

/// X as it lies in memory; the caller keeps the array alive, and finite strides come from NumPy.
StepwiseSource source_of(const py::array& x, bool mapped)
{
    require<ShapeError>(x.ndim() == 2, "X must have two axes, got ", x.ndim());
    StepwiseSource out;
    out.rows = x.shape(0);
    out.cols = x.shape(1);
    const bool single = py::isinstance<py::array_t<float>>(x);
    require<ShapeError>(single || py::isinstance<py::array_t<double>>(x), "X must be float32 or float64");
    const auto item = static_cast<Index>(x.itemsize());
    require<ShapeError>(x.strides(0) % item == 0 && x.strides(1) % item == 0,
                        "X has strides that are no multiples of its items; make it contiguous");
    out.row_stride = x.strides(0) / item;
    out.col_stride = x.strides(1) / item;
    if (single)
        out.single = static_cast<const float*>(x.data());
    else
        out.twice = static_cast<const double*>(x.data());
    out.mapped = mapped;
    return out;
}

py::array_t<double> square(const std::vector<double>& values, Index size)
{
    return owned_matrix(std::vector<double>(values), size, size);
}

template <class T>
class BoundSelection {
  public:
    /// x  an array that is read where it lies, or an object that makes the passes over one (callback_passes.hpp)
    BoundSelection(py::object x, const Doubles& y, const Doubles& weights, bool centre, double ridge,
                   std::vector<std::vector<Index>> units, const std::string& strategy, Index max_bytes, bool mapped)
        : keep_(std::move(x)), y_(y), outputs_(y.shape(1))
    {
        auto passes = passes_of(keep_, mapped);
        require<ShapeError>(y.ndim() == 2 && y.shape(0) == passes->rows, "y must have as many rows as X");
        require<ShapeError>(weights.size() == 0 || static_cast<Index>(weights.size()) == passes->rows,
                            "sample_weight must have as many elements as X has rows");
        const std::vector<double> own_weights(weights.data(), weights.data() + weights.size());
        StepwiseOptions options{ridge, std::move(units), strategy_named(strategy), max_bytes};
        const py::gil_scoped_release release;
        Context ctx = python_context();
        auto data =
            std::make_unique<StandardizedData<T>>(ctx, std::move(passes), y.data(), outputs_, own_weights, centre);
        selection_ = std::make_unique<Selection<T>>(ctx, std::move(data), std::move(options));
    }

    py::tuple best_add()
    {
        return move_tuple(unlocked([&](Context& ctx) { return selection_->best_add(ctx); }));
    }
    py::tuple best_drop()
    {
        return move_tuple(unlocked([&](Context&) { return selection_->best_drop(); }));
    }
    std::vector<Index> add(Index unit, Index horizon, double least_ratio, const std::vector<Index>& ahead)
    {
        return unlocked([&](Context& ctx) { return selection_->add(ctx, unit, horizon, least_ratio, ahead); });
    }
    void drop(Index unit) { selection_->drop(unit); }
    void forbid(Index unit) { selection_->forbid(unit); }
    void hold(Index unit) { selection_->hold(unit); }
    py::array_t<double> falls()
    {
        auto out = unlocked([&](Context& ctx) { return selection_->falls(ctx); });
        return py::array_t<double>(static_cast<py::ssize_t>(out.size()), out.data());
    }
    std::vector<Index> dependent()
    {
        return unlocked([&](Context& ctx) { return selection_->dependent(ctx); });
    }
    py::tuple solve()
    {
        auto out = unlocked([&](Context& ctx) { return selection_->solve(ctx); });
        const auto m = static_cast<Index>(selection_->columns().size());
        return py::make_tuple(owned_matrix(std::move(out.coefficients), m, outputs_), out.intercept,
                              square(out.cross, outputs_));
    }
    py::array_t<double> cross() const { return square(selection_->cross(), outputs_); }
    py::array_t<double> total() const { return square(selection_->total(), outputs_); }
    double condition() const { return selection_->condition(); }
    std::vector<Index> columns() const { return selection_->columns(); }
    py::dict stats() const
    {
        py::dict out;
        const auto& gram = selection_->gram();
        out["passes"] = selection_->passes();
        out["hits"] = gram.hits;
        out["misses"] = gram.misses;
        out["fetched"] = gram.fetched;
        out["refreshes"] = selection_->refreshes;
        out["full_gram"] = gram.all;
        return out;
    }
    py::array largest() const
    {
        const auto& found = selection_->largest();
        return py::array_t<double>(static_cast<py::ssize_t>(found.size()), found.data());
    }

  private:
    static std::unique_ptr<StepwisePasses> passes_of(const py::object& x, bool mapped)
    {
        if (py::isinstance<py::array>(x)) return host_passes<T>(source_of(x, mapped));
        return callback_passes(x);
    }
    template <class Work>
    auto unlocked(Work&& work)
    {
        const py::gil_scoped_release release;
        Context ctx = python_context();
        return work(ctx);
    }
    py::tuple move_tuple(const StepwiseMove& move) const
    {
        if (move.unit < 0)
            return py::make_tuple(move.unit, move.columns, 0.0,
                                  square(std::vector<double>(static_cast<std::size_t>(outputs_ * outputs_)), outputs_));
        return py::make_tuple(move.unit, move.columns, move.change, square(move.cross, outputs_));
    }

    py::object keep_; // X is read where it lies
    Doubles y_;       // and so is Y
    Index outputs_;
    std::unique_ptr<Selection<T>> selection_;
};

template <class T>
void bind(py::module_& module, const char* name)
{
    using S = BoundSelection<T>;
    py::class_<S>(module, name, "Stepwise least squares; see hessay/stepwise.hpp.")
        .def(py::init<py::object, const Doubles&, const Doubles&, bool, double, std::vector<std::vector<Index>>,
                      const std::string&, Index, bool>(),
             py::arg("x"), py::arg("y"), py::arg("weights"), py::arg("centre"), py::arg("ridge"), py::arg("units"),
             py::arg("strategy"), py::arg("max_bytes"), py::arg("mapped"))
        .def("best_add", &S::best_add)
        .def("best_drop", &S::best_drop)
        .def("add", &S::add, py::arg("unit"), py::arg("horizon") = 1, py::arg("least_ratio") = 0.0,
             py::arg("ahead") = std::vector<Index>{})
        .def("drop", &S::drop, py::arg("unit"))
        .def("forbid", &S::forbid, py::arg("unit"))
        .def("hold", &S::hold, py::arg("unit"))
        .def("falls", &S::falls)
        .def("dependent", &S::dependent)
        .def("solve", &S::solve)
        .def_property_readonly("cross", &S::cross)
        .def_property_readonly("total", &S::total)
        .def_property_readonly("largest", &S::largest)
        .def_property_readonly("condition", &S::condition)
        .def_property_readonly("columns", &S::columns)
        .def_property_readonly("stats", &S::stats);
}

} // namespace

void bind_stepwise(py::module_& module)
{
    bind<float>(module, "Selection32");
    bind<double>(module, "Selection64");
}

} // namespace hessay::bindings
