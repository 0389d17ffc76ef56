// Hessian-vector products over DLPack arrays. hessay.hessian.device allocates and calls.
#include "bind_hvp.hpp"

#include "borrowed_layers.hpp"
#include "call.hpp"
#include "device_operator.hpp"
#include "scratch_counter.hpp"
#include "solve_device.hpp"
#ifdef HESSAY_HOST_TWIN
#include "hvp_routines.hpp"
#else
#include "hvp.hpp"
#endif

namespace hessay::cuda {

namespace {

using Object = const py::object&;

/// A loss linearised on a device, over borrowed arrays that it keeps alive.
template <class T>
class BoundHessian {
  public:
    /// layers: (weight' (in, out) or None, bias (out,) or None, activation number, parameter, input, skip, width);
    /// kept: (slope, curvature) of every layer, (h, n) or None; see LinearisedLoss.
    BoundHessian(const py::sequence& layers, const py::sequence& kept, Object state, Object first_curvature, int loss,
                 double scale, Index inputs, Index samples, Stream stream)
        : arrays_(stream, py::none())
    {
        require(loss >= 0 && loss <= static_cast<int>(Loss::logistic), "no loss has number ", loss);
        require(std::isfinite(scale) && scale > 0, "the logit scale must be positive and finite, got ", scale);
        require<ShapeError>(samples >= 1 && layers.size() >= 1 && layers.size() == kept.size(),
                            "a network needs a layer, every layer its derivatives, and a loss at least one sample");
        at_.loss = static_cast<Loss>(loss);
        at_.scale = scale;
        at_.samples = samples;
        for (std::size_t l = 0; l < layers.size(); ++l) {
            add_layer(arrays_, at_.net, py::object(layers[l]).cast<py::tuple>(), inputs);
            const auto pair = py::object(kept[l]).cast<py::tuple>();
            at_.kept.push_back({derivative(l, pair[0]), derivative(l, pair[1])});
            const Activation act = at_.net.layers[l].activation;
            require(bool(at_.kept[l].slope.data) == (act != Activation::identity) &&
                        bool(at_.kept[l].curvature.data) == !is_piecewise_linear(act),
                    "layer ", l, " keeps a slope or curvature it has no use for, or lacks one");
        }
        at_.state = arrays_.out<T>(state, "state");
        require<ShapeError>(at_.loss == Loss::mse || (at_.state.rows == at_.net.outputs() && at_.state.cols == samples),
                            "state must be (", at_.net.outputs(), ", ", samples, ")");
        at_.first_curvature = arrays_.out<double>(first_curvature, "first_curvature");
        require<ShapeError>(bool(at_.first_curvature.data) == at_.smooth(0) &&
                                (!at_.smooth(0) || at_.first_curvature.rows == at_.net.first_width()),
                            "first_curvature must be (", at_.net.first_width(), ",) where the first layer bends");
    }

    void linearise_at(Object x, Object targets, Index tile, Object largest, Object workspace, Stream stream) const
    {
        Call call(stream, workspace);
        const auto inputs = call.in<T>(x, "x"), wanted = call.in<T>(targets, "targets");
        const auto out = call.out<double>(largest, "largest");
        run(call, [&](auto& device) { linearise(device, at_, inputs, wanted, tile, out); });
    }
    void apply(Object v, Object out, Index tile, Object workspace, Stream stream) const
    {
        Call call(stream, workspace);
        const auto directions = call.in<T>(v, "v");
        const auto product = call.out<T>(out, "out");
        run(call, [&](auto& device) { hessian_apply(device, at_, tile, directions, product); });
    }
    void apply_per_sample(Object v, Object out, Index tile, Object workspace, Stream stream) const
    {
        Call call(stream, workspace);
        const auto directions = call.in<T>(v, "v");
        const auto product = call.out<T>(out, "out");
        run(call, [&](auto& device) { hessian_apply_per_sample(device, at_, tile, directions, product); });
    }

    /// The averaged products for a solver on the device, in tiles of what workspace_bytes allow at column_bytes a
    /// sample and direction. Borrows this.
    DeviceOperator<T, SolveDevice> as_operator(Index workspace_bytes, Index column_bytes) const
    {
        const auto tile = [=, n = at_.samples](Index k) {
            return std::clamp<Index>(workspace_bytes / (std::max<Index>(column_bytes, 1) * k), 1, n);
        };
        const auto product = [this, tile](SolveDevice& device, MatrixView<const T> v, MatrixView<T> out) {
            hessian_apply(device, at_, tile(v.cols), v, out);
        };
        const auto scratch = [this, tile](Index k) {
            ScratchCounter counter;
            const Index d = at_.net.inputs();
            hessian_apply(counter, at_, tile(k), nowhere<const T>(d, k), nowhere<T>(d, k));
            return counter.peak();
        };
        return {at_.net.inputs(), product, scratch, true};
    }

    Index linearise_scratch(Index tile) const
    {
        ScratchCounter counter;
        const Index n = at_.samples, layers = static_cast<Index>(at_.net.layers.size());
        linearise(counter, at_, nowhere<const T>(at_.net.inputs(), n), nowhere<const T>(at_.net.outputs(), n), tile,
                  nowhere<double>(n, layers));
        return workspace_doubles(counter);
    }
    Index apply_scratch(Index k, Index tile) const
    {
        ScratchCounter counter;
        const Index d = at_.net.inputs();
        hessian_apply(counter, at_, tile, nowhere<const T>(d, k), nowhere<T>(d, k));
        return workspace_doubles(counter);
    }
    Index apply_per_sample_scratch(Index k, Index tile) const
    {
        ScratchCounter counter;
        const Index d = at_.net.inputs(), columns = at_.samples * k;
        hessian_apply_per_sample(counter, at_, tile, nowhere<const T>(d, columns), nowhere<T>(d, columns));
        return workspace_doubles(counter);
    }

  private:
    MatrixView<T> derivative(std::size_t l, Object array)
    {
        const auto view = arrays_.out<T>(array, "slope or curvature");
        const Index h = at_.net.layers[l].width();
        require<ShapeError>(!view.data || (view.rows == h && view.cols == at_.samples), "what layer ", l,
                            " keeps must be (", h, ", ", at_.samples, "), got (", view.rows, ", ", view.cols, ")");
        return view;
    }

    template <class Body>
    void run(Call& call, const Body& body) const
    {
        require<DeviceError>(call.device() == arrays_.device(), "the arrays are on device ", call.device(),
                             ", the network is on device ", arrays_.device(), "; move them to one device");
        call.run(body);
    }

    Call arrays_;
    LinearisedLoss<T> at_;
};

template <class T>
void bind_hessian(py::module_& module, const char* name)
{
    using Bound = BoundHessian<T>;
    using py::arg;
    py::class_<Bound>(module, name)
        .def(py::init<const py::sequence&, const py::sequence&, Object, Object, int, double, Index, Index, Stream>(),
             arg("layers"), arg("kept"), arg("state"), arg("first_curvature"), arg("loss"), arg("scale"), arg("inputs"),
             arg("samples"), arg("stream"))
        .def("linearise", &Bound::linearise_at, arg("x"), arg("targets"), arg("tile"), arg("largest"), arg("workspace"),
             arg("stream"))
        .def("apply", &Bound::apply, arg("v"), arg("out"), arg("tile"), arg("workspace"), arg("stream"))
        .def("apply_per_sample", &Bound::apply_per_sample, arg("v"), arg("out"), arg("tile"), arg("workspace"),
             arg("stream"))
        .def("as_operator", &Bound::as_operator, arg("workspace_bytes"), arg("column_bytes"), py::keep_alive<0, 1>())
        .def("linearise_scratch", &Bound::linearise_scratch, arg("tile"))
        .def("apply_scratch", &Bound::apply_scratch, arg("k"), arg("tile"))
        .def("apply_per_sample_scratch", &Bound::apply_per_sample_scratch, arg("k"), arg("tile"));
}

} // namespace

void bind_hvp(py::module_& module)
{
    bind_hessian<float>(module, "LossHessian32");
    bind_hessian<double>(module, "LossHessian64");
}

} // namespace hessay::cuda
