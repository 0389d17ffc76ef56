"""Steps from one version of the tables to the next; run when a store is opened for writing."""
