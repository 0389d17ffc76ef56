"""Problems and contenders of bench_stepwise."""
