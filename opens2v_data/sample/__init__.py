"""A small release, generated locally: the embedded default and the test fixture.

`write_sample_release` draws two parts of little films, encodes them, and lays them out exactly as OpenS2V-5M is
published, with its quirks; it returns the truth about them. Every frame carries its number (`read_frame_number`).
"""

from opens2v_data.sample.barcode import read_frame_number, read_video_number
from opens2v_data.sample.facts import ClipFacts, PairFacts, SampleFacts, SubjectFacts, VideoFacts, ViewFacts
from opens2v_data.sample.release import write_sample_release

__all__ = [
    "ClipFacts",
    "PairFacts",
    "SampleFacts",
    "SubjectFacts",
    "VideoFacts",
    "ViewFacts",
    "read_frame_number",
    "read_video_number",
    "write_sample_release",
]
