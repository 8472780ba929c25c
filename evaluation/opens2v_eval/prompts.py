"""The benchmark's prompts: 180 of the open domain, 60 of the human one, 90 with a single subject.

prompts = load_prompts("./OpenS2V-Eval", domain="open")     # or hf://datasets/BestWishYsh/OpenS2V-Eval
prompts["faceobj_14"].category                              # 'human-entity-to-video'
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from opens2v_data.errors import PromptsError
from opens2v_eval.jsonfiles import kind_of, read_object
from opens2v_eval.scales import DOMAINS, Domain

HUB_DATASET = "hf://datasets/BestWishYsh/OpenS2V-Eval"
"""Where the authors publish the prompts."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One of the eight kinds of prompts that keys begin with: how many there are, and how many reference images each has."""

    category: str
    num_prompts: int
    num_images: tuple[int, ...]


PREFIXES: dict[str, Kind] = {
    "singleface": Kind(category="single-face-to-video", num_prompts=30, num_images=(1,)),
    "singlehuman": Kind(category="single-body-to-video", num_prompts=30, num_images=(1,)),
    "singleobj": Kind(category="single-entity-to-video", num_prompts=30, num_images=(1,)),
    "multiface": Kind(category="multi-face-to-video", num_prompts=15, num_images=(2, 3)),
    "multihuman": Kind(category="multi-body-to-video", num_prompts=15, num_images=(2, 3)),
    "multiobject": Kind(category="multi-entity-to-video", num_prompts=30, num_images=(2, 3)),
    "faceobj": Kind(category="human-entity-to-video", num_prompts=15, num_images=(3,)),
    "humanobj": Kind(category="human-entity-to-video", num_prompts=15, num_images=(3,)),
}
CATEGORIES: tuple[str, ...] = tuple(dict.fromkeys(kind.category for kind in PREFIXES.values()))
"""The seven categories of the paper."""
_OF_DOMAIN: dict[Domain, tuple[str, ...]] = {
    "open": tuple(PREFIXES),
    "human": ("singleface", "singlehuman"),
    "single": ("singleface", "singlehuman", "singleobj"),
}
_KEY = re.compile(rf"({'|'.join(PREFIXES)})_([1-9]\d*)")
_MAX_TOLD = 8


def prefix(key: str) -> str:
    """Return what a key begins with, e.g. `singleface`.

    Raises:
        ValueError: it is no key of the benchmark.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"expected a key such as singleface_3, of {', '.join(PREFIXES)}; got {key!r}")
    return match[1]


def category(key: str) -> str:
    """Return a key's category, e.g. `single-face-to-video`.

    Raises:
        ValueError: it is no key of the benchmark.
    """
    return PREFIXES[prefix(key)].category


def domain_keys(domain: Domain) -> tuple[str, ...]:
    """Return the keys of a domain, by kind and number: 180, 60 or 90.

    Raises:
        ValueError: no such domain.
    """
    _check_domain(domain)
    return tuple(f"{name}_{n}" for name in _OF_DOMAIN[domain] for n in range(1, PREFIXES[name].num_prompts + 1))


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a model is given for one video.

    Attributes:
        key: its name; the video of it is `<key>.mp4`.
        prompt: the text.
        image_names: of the reference images, as published: `Images/…`.
        image_paths: the files; they may not be there, see `Prompts.missing_images`.
        class_labels: what each image shows, in upstream's spelling (`Man`, `Chiken`).
        synthesis_flag: upstream's, `True`, `Wrong` or `wrong`; no reliable mark of synthetic references.
    """

    key: str
    prompt: str
    image_names: tuple[str, ...]
    image_paths: tuple[Path, ...]
    class_labels: tuple[str, ...]
    synthesis_flag: str = ""

    def __post_init__(self) -> None:
        prefix(self.key)
        counts = len(self.image_names), len(self.image_paths), len(self.class_labels)
        if len(set(counts)) != 1 or not counts[0]:
            raise ValueError(
                f"{self.key}: expected a file and a class label for each of one or more images, got {counts[0]} names, "
                f"{counts[1]} files, {counts[2]} labels"
            )

    @property
    def prefix(self) -> str:
        """What its key begins with."""
        return prefix(self.key)

    @property
    def category(self) -> str:
        """Its category."""
        return category(self.key)


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Prompts of a domain, in upstream's order.

    Attributes:
        domain: `open`, `human` or `single`.
        prompts: by key.
        source: where they came from.
        root: the folder that image names are relative to.
    """

    domain: Domain
    prompts: Mapping[str, Prompt] = field(repr=False)
    source: str
    root: Path

    def __len__(self) -> int:
        return len(self.prompts)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.prompts.values())

    def __contains__(self, key: object) -> bool:
        return key in self.prompts

    def __getitem__(self, key: str) -> Prompt:
        return self.prompts[key]

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys, in order."""
        return tuple(self.prompts)

    def missing_images(self) -> tuple[tuple[str, Path], ...]:
        """Return the reference images that are not on disk, with the key of a prompt that wants each."""
        absent: dict[Path, str] = {}
        for prompt in self:
            for path in prompt.image_paths:
                if path not in absent and not path.is_file():
                    absent[path] = prompt.key
        return tuple((key, path) for path, key in absent.items())


def file_name(domain: Domain) -> str:
    """Return upstream's name of a domain's file."""
    _check_domain(domain)
    return f"{domain.capitalize()}-Domain_Eval.json"


def load_prompts(
    source: str | Path, *, domain: Domain = "open", images: str | Path | None = None, check: bool = True
) -> Prompts:
    """Load the prompts of a domain.

    Args:
        source: upstream's JSON file, a folder that has it (at its top or one level below), or the dataset's address on the Hub,
            `hf://datasets/OWNER/NAME[@REVISION]`; from there the file and its images are fetched into the Hub's cache.
        domain: which prompts.
        images: the folder that holds `Images/`, where that is not beside the file.
        check: refuse what is not the published set: other keys, another number of images. Without it any part of it, or own
            prompts under keys of the same form, will do.

    Raises:
        PromptsError: no such file, or not as published; all that is wrong is named.
        ValueError: no such domain.
    """
    _check_domain(domain)
    if str(source).startswith("hf://"):
        from opens2v_eval.hubprompts import fetch_prompts

        return fetch_prompts(str(source), domain=domain, check=check)
    path = _find(Path(source).expanduser(), domain)
    root = Path(images).expanduser() if images is not None else _root_of(path, Path(source).expanduser())
    return read_prompts(path, domain=domain, root=root, source=str(source), check=check)


def read_prompts(path: Path, *, domain: Domain, root: Path, source: str, check: bool = True) -> Prompts:
    """Read one file of prompts, with images below `root`; see `load_prompts`."""
    found = read_object(path, expected=f"the {domain} domain's prompts", error=PromptsError)
    faults = [f"{key} comes more than once" for key in found.repeated]
    prompts: dict[str, Prompt] = {}
    for key, value in found.members.items():
        made = _prompt(key, value, root, check)
        if isinstance(made, Prompt):
            prompts[key] = made
        else:
            faults.append(made)
    if check:
        expected, got = set(domain_keys(domain)), set(found.members)
        faults += _told(f"of {len(expected)} prompts are missing", expected - got)
        faults += _told(
            f"belong to no prompt of the {domain} domain", {key for key in got - expected if _KEY.fullmatch(key)}
        )
    if faults:
        more = f"; and {len(faults) - _MAX_TOLD} more" if len(faults) > _MAX_TOLD else ""
        raise PromptsError(
            f"{path}: not the published prompts of the {domain} domain: {'; '.join(faults[:_MAX_TOLD])}{more}. Fetch them from "
            f"{HUB_DATASET}, or use check=False (--unchecked) for prompts of your own"
        )
    return Prompts(domain=domain, prompts=prompts, source=source, root=root)


def _prompt(key: str, value: Any, root: Path, check: bool) -> Prompt | str:
    """Return a prompt, or what is wrong with it."""
    match = _KEY.fullmatch(key)
    if match is None:
        return f"{key!r} is no key: expected one of {', '.join(PREFIXES)} and a number, as in singleface_3"
    if not isinstance(value, dict):
        return f"{key}: expected an object, found {kind_of(value)}"
    text, names, labels = value.get("prompt"), value.get("img_paths"), value.get("class_label")
    if not isinstance(text, str) or not text.strip():
        return f"{key}: expected a text as prompt, found {kind_of(text)}"
    if not _is_texts(names) or not _is_texts(labels):
        return (
            f"{key}: expected lists of texts as img_paths and class_label, found {kind_of(names)} and {kind_of(labels)}"
        )
    if len(names) != len(labels):
        return f"{key}: {len(names)} img_paths but {len(labels)} class_label, which go together"
    allowed = PREFIXES[match[1]].num_images
    if check and len(names) not in allowed:
        return f"{key}: expected {' or '.join(map(str, allowed))} img_paths, found {len(names)}"
    if outside := next((name for name in names if _is_outside(name)), None):
        return f"{key}: {outside!r} is no path below the folder of the prompts"
    return Prompt(
        key=key,
        prompt=text,
        image_names=tuple(names),
        image_paths=tuple(root / name for name in names),
        class_labels=tuple(labels),
        synthesis_flag=str(value.get("synthesis_flag", "")),
    )


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text for text in value)


def _is_outside(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name


def _told(what: str, keys: set[str]) -> list[str]:
    if not keys:
        return []
    shown = sorted(keys)
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return [f"{len(shown)} {what} ({', '.join(shown[:3])}{more})"]


def _find(source: Path, domain: Domain) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise PromptsError(f"{source}: expected the {domain} domain's prompts, a file or a folder; there is none")
    name = file_name(domain)
    found = [source / name] if (source / name).is_file() else sorted(source.glob(f"*/{name}"))
    if len(found) != 1:
        raise PromptsError(
            f"{source}: expected {name} in it or one level below, found {len(found) or 'none'}; "
            f"fetch the prompts from {HUB_DATASET}"
        )
    return found[0]


def _root_of(path: Path, source: Path) -> Path:
    """Return the folder of images: the first that has `Images`, else the file's own."""
    candidates = (path.parent, path.parent.parent, source)
    return next((folder for folder in candidates if (folder / "Images").is_dir()), path.parent)


def _check_domain(domain: str) -> None:
    if domain not in DOMAINS:
        raise ValueError(f"expected a domain of {', '.join(DOMAINS)}, got {domain!r}")
