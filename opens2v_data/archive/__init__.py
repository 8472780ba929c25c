"""Bytes by range: stores, the joined address space of split tars, and the index of their members."""

from opens2v_data.archive.index import MemberScan, PartIndex, index_files, index_part
from opens2v_data.archive.members import Member, Refused, Skipped, fold, starts_like_mp4
from opens2v_data.archive.names import name_fault, tidy_name
from opens2v_data.archive.opening import open_store
from opens2v_data.archive.parts import Layout, Part, PartReader, Piece, Span
from opens2v_data.archive.stores import LocalStore, MemoryStore, Store
from opens2v_data.archive.tarwalk import Element, Need, WalkEnd, drive, walk

__all__ = [
    "Element",
    "Layout",
    "LocalStore",
    "Member",
    "MemberScan",
    "MemoryStore",
    "Need",
    "Part",
    "PartIndex",
    "PartReader",
    "Piece",
    "Refused",
    "Skipped",
    "Span",
    "Store",
    "WalkEnd",
    "drive",
    "fold",
    "index_files",
    "index_part",
    "name_fault",
    "open_store",
    "starts_like_mp4",
    "tidy_name",
    "walk",
]
