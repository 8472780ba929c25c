"""The catalog: a release's annotations as columnar tables, mask blobs and a manifest."""

from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.lookup import find_catalog

__all__ = ["Catalog", "find_catalog"]
