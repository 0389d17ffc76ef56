// Factors and products with them over DLPack arrays. hessay.hessian.device allocates and calls.
#include "bind_factor.hpp"

#include "borrowed_layers.hpp"
#ifdef HESSAY_HOST_TWIN
#include "factor_routines.hpp"
#else
#include "factor.hpp"
#endif

namespace hessay::cuda {

namespace {

using Object = const py::object&;

/// A network whose factor is wanted, over borrowed arrays that it keeps alive.
template <class T>
class BoundPlan {
  public:
    /// layers as LossHessian takes them; kind, a number of hessay/curvature.hpp
    BoundPlan(const py::sequence& layers, Index inputs, int kind, double scale, Index target, bool lifted,
              Stream stream)
        : arrays_(stream, py::none())
    {
        require(kind >= 0 && kind <= static_cast<int>(Curvature::logistic), "no curvature has number ", kind);
        require<ShapeError>(layers.size() >= 1, "a network needs a layer");
        for (std::size_t l = 0; l < layers.size(); ++l)
            add_layer(arrays_, plan_.net, py::object(layers[l]).cast<py::tuple>(), inputs);
        plan_.kind = static_cast<Curvature>(kind);
        plan_.scale = scale;
        plan_.target = target;
        plan_.lifted = lifted;
    }

    Index rank() const { return plan_.rank(); }
    Index row_length() const { return plan_.row_length(); }

    void rows(Object x, Object rows, Object largest, Index tile, Object workspace, Stream stream) const
    {
        Call call(stream, workspace);
        const auto inputs = call.in<T>(x, "x");
        const auto out = call.out<T>(rows, "rows");
        const auto sizes = call.out<double>(largest, "largest");
        call.run([&](auto& device) { factor_rows(device, plan_, inputs, tile, out, sizes); });
    }
    Index rows_scratch(Index tile) const
    {
        ScratchCounter counter;
        factor_rows(counter, plan_, nowhere<const T>(plan_.net.inputs(), tile), tile,
                    nowhere<T>(plan_.row_length(), tile * plan_.rank()),
                    nowhere<double>(tile, static_cast<Index>(plan_.net.layers.size())));
        return workspace_doubles(counter);
    }

  private:
    Call arrays_;
    FactorPlan<T> plan_;
};

template <class T>
void bind_plan(py::module_& module, const char* name)
{
    using Bound = BoundPlan<T>;
    using py::arg;
    py::class_<Bound>(module, name)
        .def(py::init<const py::sequence&, Index, int, double, Index, bool, Stream>(), arg("layers"), arg("inputs"),
             arg("kind"), arg("scale"), arg("target"), arg("lifted"), arg("stream"))
        .def_property_readonly("rank", &Bound::rank)
        .def_property_readonly("row_length", &Bound::row_length)
        .def("rows", &Bound::rows, arg("x"), arg("rows"), arg("largest"), arg("tile"), arg("workspace"), arg("stream"))
        .def("rows_scratch", &Bound::rows_scratch, arg("tile"));
}

template <class T>
void apply_factor(Call& call, Object rows, Object lift, Index samples, Object v, Object out)
{
    const auto b = call.in<T>(rows, "rows"), first = call.in<T>(lift, "lift"), directions = call.in<T>(v, "v");
    const auto product = call.out<T>(out, "out");
    call.run([&](auto& device) { factor_apply(device, b, first, samples, directions, product); });
}

template <class T>
void apply_per_sample(Call& call, Object rows, Object lift, Index samples, Index tile, Object v, Object out)
{
    const auto b = call.in<T>(rows, "rows"), first = call.in<T>(lift, "lift"), directions = call.in<T>(v, "v");
    const auto product = call.out<T>(out, "out");
    call.run([&](auto& device) { factor_apply_per_sample(device, b, first, samples, tile, directions, product); });
}

template <class T>
void dense(Call& call, Object rows, Object lift, Index samples, Object out)
{
    const auto b = call.in<T>(rows, "rows"), first = call.in<T>(lift, "lift");
    const auto matrix = call.out<double>(out, "out");
    call.run([&](auto& device) { factor_dense(device, b, first, samples, matrix); });
}

// Doubles of workspace of routines with rows (m, columns) that belong to n samples and a lift (d, m) where d > 0.
Index apply_per_sample_scratch(Index m, Index columns, Index n, Index tile, Index k, Index d)
{
    ScratchCounter counter;
    const Index size = d > 0 ? d : m;
    factor_apply_per_sample(counter, nowhere<const double>(m, columns),
                            d > 0 ? nowhere<const double>(d, m) : MatrixView<const double>{}, n, tile,
                            nowhere<const double>(size, n * k), nowhere<double>(size, n * k));
    return workspace_doubles(counter);
}

template <class T>
Index dense_scratch(Index m, Index columns, Index d)
{
    ScratchCounter counter;
    factor_dense(counter, nowhere<const T>(m, columns), d > 0 ? nowhere<const T>(d, m) : MatrixView<const T>{}, 1,
                 nowhere<double>(d > 0 ? d : m, d > 0 ? d : m));
    return workspace_doubles(counter);
}

} // namespace

void bind_factor(py::module_& module)
{
    using py::arg;
    bind_plan<float>(module, "FactorPlan32");
    bind_plan<double>(module, "FactorPlan64");
    module.def(
        "factor_apply",
        [](Object rows, Object lift, Index samples, Object v, Object out, Object workspace, Stream stream) {
            Call call(stream, workspace);
            for_precision(call, rows, "rows",
                          [&](auto zero) { apply_factor<decltype(zero)>(call, rows, lift, samples, v, out); });
        },
        arg("rows"), arg("lift"), arg("samples"), arg("v"), arg("out"), arg("workspace"), arg("stream"));
    // Doubles of workspace for k columns of a factor with rows (m, columns); lifted: it has a lift.
    module.def("factor_apply_scratch", [](Index m, Index columns, Index k, bool lifted) {
        ScratchCounter counter;
        factor_apply(counter, nowhere<const double>(m, columns),
                     lifted ? nowhere<const double>(m, m) : MatrixView<const double>{}, 1, nowhere<const double>(m, k),
                     nowhere<double>(m, k));
        return workspace_doubles(counter);
    });
    module.def(
        "factor_apply_per_sample",
        [](Object rows, Object lift, Index samples, Index tile, Object v, Object out, Object workspace, Stream stream) {
            Call call(stream, workspace);
            for_precision(call, rows, "rows", [&](auto zero) {
                apply_per_sample<decltype(zero)>(call, rows, lift, samples, tile, v, out);
            });
        },
        arg("rows"), arg("lift"), arg("samples"), arg("tile"), arg("v"), arg("out"), arg("workspace"), arg("stream"));
    module.def("factor_apply_per_sample_scratch", &apply_per_sample_scratch);
    module.def(
        "factor_dense",
        [](Object rows, Object lift, Index samples, Object out, Object workspace, Stream stream) {
            Call call(stream, workspace);
            for_precision(call, rows, "rows",
                          [&](auto zero) { dense<decltype(zero)>(call, rows, lift, samples, out); });
        },
        arg("rows"), arg("lift"), arg("samples"), arg("out"), arg("workspace"), arg("stream"));
    module.def("factor_dense_scratch", [](Index m, Index columns, Index d, bool single) {
        return single ? dense_scratch<float>(m, columns, d) : dense_scratch<double>(m, columns, d);
    });
}

} // namespace hessay::cuda
