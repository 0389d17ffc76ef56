#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "hessay/marchenko_pastur.hpp"
#include "hessay/tracy_widom.hpp"
#include "map.hpp"

namespace hessay::bindings {
namespace {

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
            [function](const RealArray& values, double sigma2, double gamma) {
                const MarchenkoPastur law(sigma2, gamma);
                return map(values, [&law, function](double value) { return (law.*function)(value); });
            },
            py::arg("x"), py::arg("sigma2"), py::arg("gamma"), text);
    };
    bind("marchenko_pastur_density", &MarchenkoPastur::density, "Density of the continuous part.");
    bind("marchenko_pastur_cdf", &MarchenkoPastur::cdf, "P(eigenvalue <= x).");
    bind("marchenko_pastur_sf", &MarchenkoPastur::survival, "P(eigenvalue > x).");
    bind("marchenko_pastur_quantile", &MarchenkoPastur::quantile, "Smallest x with cdf(x) >= p.");
    bind("marchenko_pastur_kappa", &MarchenkoPastur::kappa, "1 / companion(-x), x >= 0.");
    // Real points must lie off the support; complex ones with no imaginary part inside it take the limit from above.
    using Complex = std::complex<double>;
    const auto transform = [&module, &bind](const char* name, double (MarchenkoPastur::*real)(double) const,
                                            Complex (MarchenkoPastur::*complex)(Complex) const, const char* text) {
        bind(name, real, text);
        module.def((std::string(name) + "_complex").c_str(),
                   [complex](const ComplexArray& values, double sigma2, double gamma) {
                       const MarchenkoPastur law(sigma2, gamma);
                       return map(values, [&law, complex](Complex value) { return (law.*complex)(value); });
                   },
                   py::arg("z"), py::arg("sigma2"), py::arg("gamma"), text);
    };
    using Law = MarchenkoPastur;
    transform("marchenko_pastur_stieltjes", &Law::stieltjes, &Law::stieltjes, "int dF(x) / (x - z).");
    transform("marchenko_pastur_companion", &Law::companion, &Law::companion, "Stieltjes transform of XX'/n.");
    transform("marchenko_pastur_stieltjes_slope", &Law::stieltjes_slope, &Law::stieltjes_slope, "m'(z).");
    transform("marchenko_pastur_companion_slope", &Law::companion_slope, &Law::companion_slope, "Its companion's.");
    module.def(
        "marchenko_pastur_moment",
        [](int k, double sigma2, double gamma) { return MarchenkoPastur(sigma2, gamma).moment(k); }, py::arg("k"),
        py::arg("sigma2"), py::arg("gamma"), "E x^k.");
    module.def(
        "marchenko_pastur_angle_masses",
        [](const RealArray& angles, double k) {
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
            [function](const RealArray& values, int beta) {
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
        [](double n, double p, bool second_order) {
            const Scaling scaling = second_order ? largest_eigenvalue_scaling(n, p) : johnstone_scaling(n, p);
            return py::make_tuple(scaling.center, scaling.scale);
        },
        py::arg("n"), py::arg("p"), py::arg("second_order"), "Centre and scale of the largest eigenvalue of X'X.");
}

} // namespace

void bind_laws(py::module_& module)
{
    bind_marchenko_pastur(module);
    bind_tracy_widom(module);
}

} // namespace hessay::bindings
