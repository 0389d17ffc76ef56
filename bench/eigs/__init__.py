"""Parts of bench_eigs: problems, contenders, measurements, tables."""
