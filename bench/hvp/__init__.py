"""What products with the input Hessian cost: problems, contenders, measuring and printing."""
