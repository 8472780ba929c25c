"""Stream subject-text-video triples out of ./opens2v-5m, first through `datasets`, then as plain values; `make demo` runs it."""

from __future__ import annotations

from textwrap import shorten

from datasets import load_dataset

import opens2v_data
from opens2v_data import Triple
from opens2v_loaders import annotated_frame, cut_out


def main() -> None:
    """Print three triples, then cut the subjects of another one out of their frame."""
    dataset = load_dataset("opens2v-5m", split="train", streaming=True)
    print("\nload_dataset('opens2v-5m', split='train', streaming=True):")
    for row in dataset.take(3):
        triple = Triple.from_row(row)
        print(f"  {triple.clip.key}")
        print(f"    text      {shorten(triple.caption, 110)}")
        print(f"    subjects  {', '.join(subject.class_name for subject in triple.subjects)}")
        if (video := triple.clip.video) is not None:
            print(f"    video     {video.size_bytes:,} bytes at {video.offset:,} of {video.part}.tar: {video.member}")

    catalog = opens2v_data.open("./opens2v-5m")
    where = "aesthetic > 5 AND has_subject(clip_id, 'guitar', min_gme := 0.3)"
    print(f"\nopens2v_data.open('./opens2v-5m').triples({where!r}, limit=1):")
    for triple in catalog.triples(where, limit=1):
        assert triple.clip.video is not None
        frame = annotated_frame(catalog.read_bytes(triple.clip.video), triple.clip)
        print(f"  frame {triple.clip.ann_frame_idx} of {triple.clip.key}: {frame.shape[1]}x{frame.shape[0]}")
        for subject in triple.subjects:
            picture = cut_out(frame, subject)
            if picture is not None:
                size = f"{picture.image.width}x{picture.image.height}"
                print(f"    {subject.class_name}: cut out along its {picture.source}, {size}")


if __name__ == "__main__":
    main()
