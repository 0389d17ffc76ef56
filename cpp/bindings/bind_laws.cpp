#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <vector>

#include "hessay/marchenko_pastur.hpp"
#include "hessay/tracy_widom.hpp"

namespace py = pybind11;

namespace hessay::bindings {
namespace {

/// C-contiguous float64, converted when it is not; the Python layer has checked for NaN.
using Array = py::array_t<double, py::array::c_style | py::array::forcecast>;

/// result[i] = body(values[i]) in order, the same shape, the GIL released.
template <class Body>
py::array_t<double> map(const Array& values, Body body)
{
    py::array_t<double> result(std::vector<py::ssize_t>(values.shape(), values.shape() + values.ndim()));
    const double* from = values.data();
    double* to = result.mutable_data();
    const py::ssize_t size = values.size();
    py::gil_scoped_release release;
    for (py::ssize_t i = 0; i < size; ++i) to[i] = body(from[i]);
    return result;
}

void bind_marchenko_pastur(py::module_& module)
{
    const auto pair = [](Interval interval) { return py::make_tuple(interval.lower, interval.upper); };
    module.def(
        "marchenko_pastur_support",
        [pair](double sigma2, double gamma) { return pair(MarchenkoPastur(sigma2, gamma).support()); },
        py::arg("sigma2"), py::arg("gamma"), "Edges of the continuous part.");
    module.def(
        "marchenko_pastur_atom", [](double gamma) { return MarchenkoPastur(1, gamma).atom(); }, py::arg("gamma"),
        "Mass at 0.");
    // One line a function of x: each builds the law once and maps over the array.
    const auto bind = [&module](const char* name, double (MarchenkoPastur::*function)(double) const, const char* text) {
        module.def(
            name,
            [function](const Array& values, double sigma2, double gamma) {
                const MarchenkoPastur law(sigma2, gamma);
                return map(values, [&law, function](double value) { return (law.*function)(value); });
            },
            py::arg("x"), py::arg("sigma2"), py::arg("gamma"), text);
    };
    bind("marchenko_pastur_density", &MarchenkoPastur::density, "Density of the continuous part.");
    bind("marchenko_pastur_cdf", &MarchenkoPastur::cdf, "P(eigenvalue <= x).");
    bind("marchenko_pastur_sf", &MarchenkoPastur::survival, "P(eigenvalue > x).");
    bind("marchenko_pastur_quantile", &MarchenkoPastur::quantile, "Smallest x with cdf(x) >= p.");
    bind("marchenko_pastur_stieltjes", &MarchenkoPastur::stieltjes, "int dF(x) / (x - z), real z off the support.");
    bind("marchenko_pastur_companion", &MarchenkoPastur::companion, "Stieltjes transform of XX'/n.");
    module.def(
        "marchenko_pastur_moment",
        [](int k, double sigma2, double gamma) { return MarchenkoPastur(sigma2, gamma).moment(k); }, py::arg("k"),
        py::arg("sigma2"), py::arg("gamma"), "E x^k.");
    module.def(
        "marchenko_pastur_angles",
        [](const Array& tails, double k) {
            double angle = -1; // of the neighbour: sorted tails start from each other
            return map(tails, [k, angle](double tail) mutable {
                return angle = marchenko_pastur_angle(k, 1 - k, tail, angle);
            });
        },
        py::arg("tails"), py::arg("k"),
        "Angles t from the upper edge with the share `tail` of the continuous part beyond: "
        "x = (1 + k^2 + 2 k cos t) in units of sigma2 max(1, gamma), k = min(sqrt gamma, 1 / sqrt gamma).");
    module.def(
        "marchenko_pastur_angle_masses",
        [](const Array& angles, double k) {
            return map(angles, [k](double t) { return marchenko_pastur_angle_mass(k, 1 + k, t); });
        },
        py::arg("angles"), py::arg("k"), "Share of the continuous part beyond the angle t from the upper edge.");
}

void bind_tracy_widom(py::module_& module)
{
    const auto bind = [&module](const char* name, double (TracyWidom::*function)(double) const, const char* argument,
                                const char* text) {
        module.def(
            name,
            [function](const Array& values, int beta) {
                const TracyWidom law(beta);
                return map(values, [&law, function](double value) { return (law.*function)(value); });
            },
            py::arg(argument), py::arg("beta"), text);
    };
    bind("tracy_widom_cdf", &TracyWidom::cdf, "s", "P(S <= s).");
    bind("tracy_widom_sf", &TracyWidom::survival, "s", "P(S > s).");
    bind("tracy_widom_quantile", &TracyWidom::quantile, "p", "The s with cdf(s) = p.");
    bind("tracy_widom_isf", &TracyWidom::upper_quantile, "p", "The s with sf(s) = p.");
    module.def(
        "largest_eigenvalue_scaling",
        [](double n, double p) {
            const Scaling scaling = largest_eigenvalue_scaling(n, p);
            return py::make_tuple(scaling.center, scaling.scale);
        },
        py::arg("n"), py::arg("p"), "Centre and scale of the largest eigenvalue of X'X (Ma 2012).");
}

} // namespace

void bind_laws(py::module_& module)
{
    bind_marchenko_pastur(module);
    bind_tracy_widom(module);
}

} // namespace hessay::bindings
