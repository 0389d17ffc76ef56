"""Products on a CUDA device, by the module hessay._cuda."""
