"""Spectra, contenders and tables of bench_rmt.py."""
