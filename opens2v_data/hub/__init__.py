"""The `datasets` face: `load_dataset("opens2v-5m")`, and `opens2v://` addresses for fsspec. Only here is `datasets` imported."""
