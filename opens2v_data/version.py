"""The version of opens2v-data, for whoever writes it into a file."""

__version__ = "0.1.0"
