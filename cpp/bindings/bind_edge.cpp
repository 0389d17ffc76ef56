#include <pybind11/complex.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <vector>

#include "bindings.hpp"
#include "hessay/edge_fit.hpp"
#include "hessay/silverstein.hpp"
#include "hessay/spikes.hpp"
#include "map.hpp"

namespace hessay::bindings {
namespace {

/// The Python layer has sorted the values, in descending order, and kept the positive ones.
Spectrum spectrum_of(const RealArray& values, const py::object& counts, RealArray& held, double total)
{
    require<ShapeError>(values.ndim() == 1, "values must have shape (k,)");
    Spectrum spectrum{values.data(), nullptr, values.size(), total};
    if (!counts.is_none()) {
        held = counts.cast<RealArray>();
        require<ShapeError>(held.ndim() == 1 && held.size() == values.size(), "counts must have the shape of values");
        spectrum.counts = held.data();
    }
    return spectrum;
}

void bind_fits(py::module_& module)
{
    module.def(
        "fit_bulk",
        [](const RealArray& values, const py::object& counts, double total, double longer) {
            RealArray held;
            const Spectrum spectrum = spectrum_of(values, counts, held, total);
            BulkFit fit;
            {
                py::gil_scoped_release release;
                fit = fit_bulk(spectrum, longer);
            }
            return py::make_tuple(fit.root, fit.k, fit.size, fit.dropped, fit.settled, fit.center, fit.scale,
                                  fit.goodness, fit.shape);
        },
        py::arg("values"), py::arg("counts"), py::arg("total"), py::arg("longer"),
        "(root, k, size, dropped, settled, center, scale, goodness, shape) of the quantile fit.");
    module.def(
        "fit_errors",
        [](double k, double size, bool known) {
            const FitErrors errors = fit_errors(k, size, known);
            return py::make_tuple(errors.root, errors.k, errors.upper);
        },
        py::arg("k"), py::arg("size"), py::arg("known"),
        "Standard deviations of the fit of noise: root (relative), k, upper edge (relative).");
    module.def(
        "fit_airy_edge",
        [](const RealArray& values, const py::object& counts, double total, Index skip, Index last) {
            RealArray held;
            const Spectrum spectrum = spectrum_of(values, counts, held, total);
            const AiryFit fit = fit_airy_edge(spectrum, skip, last);
            return py::make_tuple(fit.upper, fit.scale, fit.upper_sd, fit.dropped, fit.settled);
        },
        py::arg("values"), py::arg("counts"), py::arg("total"), py::arg("skip"), py::arg("last"),
        "(upper, scale, upper_sd, dropped, settled) of the edge from Airy ranks.");
}

void bind_silverstein(py::module_& module)
{
    using Complex = Silverstein::Complex;
    py::class_<Silverstein> law(module, "Silverstein", "Law of a general population; see silverstein.hpp.");
    law.def(py::init<std::vector<double>, std::vector<double>, double>(), py::arg("t"), py::arg("w"), py::arg("gamma"));
    law.def("support", [](const Silverstein& self) {
        py::list intervals;
        for (const Interval& interval : self.support())
            intervals.append(py::make_tuple(interval.lower, interval.upper));
        return intervals;
    });
    law.def("gaps_resolved", &Silverstein::gaps_resolved);
    law.def("atom", &Silverstein::atom);
    law.def("edge_scale", &Silverstein::edge_scale, py::arg("n"));
    law.def("threshold", &Silverstein::threshold);
    // Functions of z start from the s of the point before: neighbours in an array are mostly neighbours in z.
    const auto of_complex = [&law](const char* name, Complex (Silverstein::*function)(Complex) const) {
        law.def(
            name,
            [function](const Silverstein& self, const ComplexArray& z) {
                Complex s(0, 0);
                return map(z, [&self, &s, function](Complex at) {
                    s = self.coordinate(at, s);
                    return (self.*function)(s);
                });
            },
            py::arg("z"));
    };
    of_complex("stieltjes", &Silverstein::stieltjes);
    of_complex("companion", &Silverstein::companion);
    of_complex("companion_slope", &Silverstein::companion_slope);
    const auto of_real = [&law](const char* name, double (Silverstein::*function)(Complex) const, double below) {
        law.def(
            name,
            [function, below](const Silverstein& self, const RealArray& x) {
                Complex s(0, 0);
                return map(x, [&self, &s, function, below](double at) {
                    if (at < 0) return below;
                    s = self.coordinate(at, s);
                    return (self.*function)(s);
                });
            },
            py::arg("x"));
    };
    of_real("density", &Silverstein::density, 0);
    of_real("sf", &Silverstein::survival, 1);
    const auto plain = [&law](const char* name, double (Silverstein::*function)(double) const, const char* argument) {
        law.def(
            name,
            [function](const Silverstein& self, const RealArray& x) {
                return map(x, [&self, function](double at) { return (self.*function)(at); });
            },
            py::arg(argument));
    };
    plain("quantile", &Silverstein::quantile, "p");
    plain("kappa", &Silverstein::kappa, "lam");
    plain("spike_map", &Silverstein::spike_map, "s");
    plain("spike_map_slope", &Silverstein::spike_map_slope, "s");
    law.def(
        "coordinate",
        [](const Silverstein& self, const RealArray& x) {
            return map(x, [&self](double at) { return self.coordinate(at).real(); });
        },
        py::arg("x"), "s of real points outside the support.");
}

void bind_spikes(py::module_& module)
{
    const auto bind = [&module](const char* name, auto body) {
        module.def(
            name,
            [body](const RealArray& x, double sigma2, double gamma, double n) {
                const SpikedWishart model(sigma2, gamma);
                return map(x, [&](double at) { return body(model, at, n); });
            },
            py::arg("x"), py::arg("sigma2"), py::arg("gamma"), py::arg("n") = 1.0);
    };
    bind("spike_biased", [](const SpikedWishart& m, double x, double) { return m.biased(x); });
    bind("spike_debiased", [](const SpikedWishart& m, double x, double) { return m.debiased(x); });
    bind("spike_overlap", [](const SpikedWishart& m, double x, double) { return m.overlap(x); });
    bind("spike_deviation", [](const SpikedWishart& m, double x, double n) { return m.deviation(x, n); });
}

} // namespace

void bind_edge(py::module_& module)
{
    bind_fits(module);
    bind_silverstein(module);
    bind_spikes(module);
}

} // namespace hessay::bindings
