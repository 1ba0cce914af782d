"""The judge on many simulated traces: what takes longer than a unit test may. Run: pytest tests/simulation"""
