"""Which catalog is meant when none is named.

The rule, in this order: the place given, the environment variable OPENS2V_CATALOG, `./opens2v-5m`, and the default that
`opens2v use PATH` wrote to `$XDG_CONFIG_HOME/opens2v/config.json` (`~/.config/opens2v/config.json`). Each may be a folder or an
address: `hf://datasets/OWNER/NAME[@REVISION]`, `https://…`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from opens2v_data.archive.addresses import is_remote
from opens2v_data.errors import CatalogNotFoundError
from opens2v_data.release.files import is_text, readable

ENVIRONMENT_VARIABLE = "OPENS2V_CATALOG"
LOCAL_FOLDER = "opens2v-5m"


def config_file() -> Path:
    """Return the user's configuration file."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "opens2v" / "config.json"


def find_catalog(data_dir: str | os.PathLike[str] | None = None) -> Path | str:
    """Return the catalog's folder, or its address as text, by the rule above; `Catalog.open` checks that one is there.

    Raises:
        CatalogNotFoundError: nothing is named and nothing lies where it could, or the folder's path is not UTF-8.
    """
    if data_dir is not None:
        return _place(data_dir)
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        return _place(named)
    if (Path(LOCAL_FOLDER) / "manifest.json").is_file():
        return _place(Path(LOCAL_FOLDER).absolute())
    if (default := default_catalog()) is not None:
        return default
    raise CatalogNotFoundError(
        "no catalog: none was given (data_dir), OPENS2V_CATALOG is not set, ./opens2v-5m is no catalog and no default is set. "
        "Make one with `opens2v ingest RELEASE ./opens2v-5m`, or name one with `opens2v use PATH`; "
        "to try it on a small release: `opens2v demo-release ./release && opens2v ingest ./release ./opens2v-5m`"
    )


def default_catalog() -> Path | str | None:
    """Return the user's default catalog, or None."""
    path = config_file()
    try:
        value = json.loads(path.read_text(encoding="utf-8")).get("catalog")
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError) as error:
        raise CatalogNotFoundError(f"expected a JSON object in {path}, found {error}; run: opens2v use PATH") from error
    return _place(value) if value else None


def set_default_catalog(root: Path | str) -> Path:
    """Make a folder or an address the user's default catalog; return the file that says so."""
    place = _place(root)
    if isinstance(place, Path):
        place = place.absolute()
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps({"catalog": str(place)}, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def _place(named: str | os.PathLike[str]) -> Path | str:
    if isinstance(named, str) and is_remote(named):
        return named
    place = Path(named).expanduser()
    # DuckDB and tantivy take paths as UTF-8 only.
    if not is_text(full := place.absolute()):
        raise CatalogNotFoundError(
            f"expected a catalog below folders named in UTF-8, found {readable(full)}; rename it"
        )
    return place
