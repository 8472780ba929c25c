"""OpenS2V-5M, askable and streamable."""
