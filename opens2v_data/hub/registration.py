"""Teach `datasets` the name `opens2v-5m` when it is imported."""


def register_when_imported() -> None:
    """Wrap the dataset lookup of `datasets` once it is imported."""
