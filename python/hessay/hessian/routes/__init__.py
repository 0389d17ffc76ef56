"""Which way products are computed: what each costs, which is taken, and what it gives."""
