"""Parts of bench_density.py: spectra, contenders, coverage of the error bars."""
