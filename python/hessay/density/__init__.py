"""The whole spectrum as a distribution, and the trace, with error bars, from few products."""

from hessay.density.result import DensityStats, SpectralDensity
from hessay.density.solve import spectral_density
from hessay.density.traces import TraceEstimate, trace

__all__ = ["DensityStats", "SpectralDensity", "TraceEstimate", "spectral_density", "trace"]
