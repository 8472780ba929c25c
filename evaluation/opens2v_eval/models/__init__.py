"""Models that metrics use, each behind what it is asked for."""
