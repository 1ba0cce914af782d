"""What a ModelSLO would have decided, on recorded data."""
