"""modelslo: keeps machine-learning models inside their loss SLOs."""
