"""Who appears where: the people and the videos of the sample release."""

from __future__ import annotations

from fractions import Fraction

from opens2v_data.sample.figures import Look
from opens2v_data.sample.film import Actor, Video

NESTED_PART, FLAT_PART = "total_part1", "total_part2"
"""Members of the first lie two folders deep (`part_001/<video_id>/…`), of the second one, as in upstream's demo."""

NTSC = Fraction(30_000, 1001)

MIA = Look(hair_style="long", hair=(74, 44, 32), top=(206, 58, 62), legs=(56, 72, 118))
LEO = Look(
    hair=(58, 40, 32),
    skin=(232, 184, 150),
    top=(66, 108, 164),
    legs=(70, 66, 72),
    glasses=True,
    holds="guitar",
    thing=(214, 146, 66),
)
ANA = Look(
    hair_style="bun",
    hair=(36, 28, 34),
    skin=(206, 152, 116),
    top=(126, 84, 158),
    legs=(64, 62, 92),
    holds="cup",
    thing=(246, 244, 238),
)
LILY = Look(
    hair_style="pigtails", hair=(196, 132, 62), top=(246, 196, 70), legs=(224, 116, 146), skirt=True, holds="string"
)
TOM = Look(hair=(44, 36, 34), skin=(150, 104, 74), top=(64, 140, 92), legs=(72, 64, 60))
NOA = Look(hair_style="long", hair=(30, 26, 30), skin=(240, 200, 172), top=(70, 116, 190), legs=(50, 56, 90))
IDA = Look(
    hair_style="bun",
    hair=(170, 100, 60),
    skin=(242, 200, 176),
    top=(196, 96, 134),
    legs=(60, 64, 84),
    holds="umbrella",
    thing=(250, 200, 56),
)
SAM = Look(hair=(90, 60, 40), skin=(224, 172, 136), top=(238, 132, 60), legs=(60, 96, 120))
EVA = Look(hair_style="long", hair=(214, 170, 96), skin=(244, 208, 184), top=(150, 104, 178), legs=(84, 84, 104))
BEN = Look(
    hair=(40, 34, 36), skin=(128, 86, 62), top=(62, 84, 120), legs=(50, 48, 56), holds="umbrella", thing=(70, 130, 160)
)

REX, COAL = (164, 110, 68), (74, 66, 70)

_LONG_ID = "a-slow-walk-along-the-row-of-painted-houses-with-a-blue-umbrella-and-nobody-in-a-hurry_1a2b3c4d5e6f"

VIDEOS: tuple[Video, ...] = (
    Video(
        number=1, part=NESTED_PART, folder="part_001/8fKq2vWd3Lc", stem="8fKq2vWd3Lc_segment1", scene="meadow",
        fps=Fraction(30), num_frames=91, gop=30,
        actors=(
            Actor(what="ball", color=(64, 132, 206), height=0.13, start=(0.74, 0.80), end=(0.97, 0.82), cycles=3,
                bounce=0.10),
            Actor(what=MIA, height=0.66, start=(0.26, 0.93), end=(0.52, 0.93), cycles=4),
            Actor(what="dog", color=REX, height=0.25, start=(0.46, 0.95), end=(0.78, 0.96), cycles=6),
        ),
    ),
    Video(
        number=2, part=NESTED_PART, folder="part_001/8fKq2vWd3Lc", stem="8fKq2vWd3Lc_segment4", scene="street",
        num_frames=61, gop=25,
        actors=(
            Actor(what="car", color=(70, 120, 190), height=0.26, start=(0.20, 0.84), end=(0.86, 0.84), cycles=5),
            Actor(what=MIA, height=0.62, start=(0.66, 0.97), end=(0.42, 0.97), cycles=3),
            Actor(what="dog", color=REX, height=0.23, start=(0.50, 0.97), end=(0.22, 0.97), cycles=5, mirrored=True),
        ),
    ),
    Video(
        number=3, part=FLAT_PART, folder=None, stem="8fKq2vWd3Lc_segment7", scene="beach", fps=NTSC, num_frames=61,
        gop=30,
        latin1_title="Une journée à la plage",
        actors=(
            Actor(what="sailboat", color=(206, 84, 70), height=0.34, start=(0.84, 0.60), end=(0.66, 0.60)),
            Actor(what=MIA, height=0.70, start=(0.30, 0.96), end=(0.38, 0.96), cycles=1),
            Actor(what="dog", color=REX, height=0.27, start=(0.50, 0.95), end=(0.70, 0.93), cycles=5),
        ),
    ),
    Video(
        number=4, part=NESTED_PART, folder="part_001/gm1340027713-420195582", stem="gm1340027713-420195582_part1",
        scene="room",
        width=854, height=480, fps=Fraction(24), num_frames=97, gop=48, audio_first=True,
        actors=(
            Actor(what=ANA, height=0.98, start=(0.73, 1.26), end=(0.73, 1.26), cycles=1.5),
            Actor(what=LEO, height=1.06, start=(0.38, 1.30), end=(0.40, 1.30), cycles=6),
        ),
    ),
    Video(
        number=5, part=FLAT_PART, folder=None, stem="gm1340027713-420195582_part2", scene="autumn_park",
        fps=Fraction(24),
        num_frames=61, gop=24, crop=(16, 12, 624, 324),
        actors=(
            Actor(what="tree", color=(214, 132, 52), height=0.70, start=(0.84, 0.84), end=(0.84, 0.84), cycles=1),
            Actor(what=LEO, height=0.66, start=(0.36, 0.87), end=(0.56, 0.87), cycles=4),
        ),
    ),
    Video(
        number=6, part=NESTED_PART, folder="part_001/Zr4mT7xNp0s", stem="Zr4mT7xNp0s_segment2", scene="meadow",
        width=360, height=640, fps=Fraction(30), num_frames=61, gop=30, moov_at_end=True,
        actors=(
            Actor(what="balloon", color=(70, 140, 210), height=0.44, start=(0.53, 0.53), end=(0.54, 0.51), cycles=1),
            Actor(what="balloon", color=(246, 190, 60), height=0.46, start=(0.84, 0.68), end=(0.84, 0.66), cycles=1.5),
            Actor(what="balloon", color=(226, 60, 76), height=0.52, start=(0.71, 0.70), end=(0.72, 0.69), cycles=1),
            Actor(what=LILY, height=0.66, start=(0.40, 0.98), end=(0.42, 0.98), cycles=2),
        ),
    ),
    Video(
        number=7, part=NESTED_PART, folder="part_001/Zr4mT7xNp0s", stem="Zr4mT7xNp0s_segment5", scene="evening_meadow",
        fps=Fraction(30), num_frames=121, gop=40,
        actors=(
            Actor(what="kite", color=(232, 96, 66), height=0.48, start=(0.62, 0.58), end=(0.86, 0.52), cycles=4),
            Actor(what="balloon", color=(226, 60, 76), height=0.46, start=(0.335, 0.585), end=(0.515, 0.585), cycles=3),
            Actor(what=LILY, height=0.62, start=(0.26, 0.96), end=(0.44, 0.96), cycles=5),
        ),
    ),
    Video(
        number=8, part=FLAT_PART, folder=None, stem="gm998214402-269903117_part1", scene="street", num_frames=61,
        varying=True,
        actors=(
            Actor(what=TOM, height=0.52, start=(0.80, 0.78), end=(0.66, 0.78), cycles=3),
            Actor(what="car", color=(214, 62, 54), height=0.34, start=(0.24, 0.96), end=(0.60, 0.96), cycles=4),
        ),
    ),
    Video(
        number=9, part=FLAT_PART, folder=None, stem="gm998214402-269903117_part3", scene="mountains", num_frames=61,
        actors=(
            Actor(what="car", color=(214, 62, 54), height=0.30, start=(0.66, 0.87), end=(0.36, 0.87), cycles=4,
                mirrored=True),
            Actor(what=TOM, height=0.64, start=(0.22, 0.98), end=(0.26, 0.98), cycles=1),
        ),
    ),
    Video(
        number=10, part=FLAT_PART, folder=None, stem="hY2bWc5QeR8_segment3", scene="snow", fps=Fraction(24),
        num_frames=49,
        actors=(
            Actor(what="snowman", color=(206, 60, 66), height=0.66, start=(0.66, 0.92), end=(0.66, 0.92), cycles=1),
            Actor(what=NOA, height=0.62, start=(0.30, 0.95), end=(0.42, 0.95), cycles=2),
        ),
    ),
    Video(
        number=11, part=NESTED_PART, folder="part_002/T0pRx_u-9Ks", stem="T0pRx_u-9Ks_segment2", scene="pond",
        fps=Fraction(30), num_frames=49, gop=30,
        actors=(
            Actor(what="sailboat", color=(90, 110, 170), height=0.26, start=(0.76, 0.53), end=(0.70, 0.53)),
            Actor(what="duck", color=(196, 176, 150), height=0.20, start=(0.30, 0.70), end=(0.44, 0.70), cycles=2),
            Actor(what="duck", color=(158, 128, 102), height=0.25, start=(0.44, 0.88), end=(0.64, 0.88), cycles=2),
        ),
    ),
    Video(
        number=12, part=NESTED_PART, folder="part_002/nB6sLg4jVaM", stem="nB6sLg4jVaM_segment6", scene="night_street",
        fps=Fraction(24), num_frames=49,
        actors=(
            Actor(what=IDA, height=0.60, start=(0.36, 0.95), end=(0.48, 0.95), cycles=2),
            Actor(what="dog", color=COAL, height=0.24, start=(0.60, 0.95), end=(0.74, 0.95), cycles=4),
        ),
    ),
    Video(
        number=13, part=FLAT_PART, folder=None, stem="Xc9oEy1uHd7_segment1", scene="room", fps=NTSC, num_frames=49,
        gop=30,
        actors=(
            Actor(what=EVA, height=0.76, start=(0.44, 0.97), end=(0.44, 0.97), cycles=1),
            Actor(what="cat", color=(220, 150, 82), height=0.34, start=(0.64, 0.94), end=(0.64, 0.94), cycles=1),
            Actor(what="ball", color=(90, 170, 120), height=0.13, start=(0.86, 0.93), end=(0.76, 0.95), cycles=2,
                bounce=0.04),
        ),
    ),
    Video(
        number=14, part=FLAT_PART, folder=None, stem="gm455120934-568832017_part4", scene="mountains", num_frames=49,
        actors=(
            Actor(what="airship", color=(222, 74, 62), height=0.56, start=(0.36, 0.72), end=(0.40, 0.66), cycles=1),
            Actor(what="airship", color=(72, 128, 196), height=0.40, start=(0.62, 0.58), end=(0.64, 0.55), cycles=1),
            Actor(what="car", color=(240, 190, 70), height=0.30, start=(0.97, 0.95), end=(0.76, 0.95), cycles=3,
                mirrored=True),
        ),
    ),
    Video(
        number=15, part=NESTED_PART, folder=f"part_002/{_LONG_ID}", stem=f"{_LONG_ID}_segment1", scene="street",
        num_frames=49,
        actors=(
            Actor(what="car", color=(230, 180, 76), height=0.28, start=(0.80, 0.84), end=(0.62, 0.84), cycles=2,
                mirrored=True),
            Actor(what=BEN, height=0.58, start=(0.34, 0.98), end=(0.46, 0.98), cycles=2),
        ),
    ),
    Video(
        number=16, part=FLAT_PART, folder=None, stem="pL3wKz8Fq5I_segment9", scene="autumn_park", num_frames=49,
        actors=(
            Actor(what="robot", color=(84, 148, 186), height=0.46, start=(0.62, 0.93), end=(0.54, 0.93), cycles=3),
            Actor(what=SAM, height=0.62, start=(0.30, 0.96), end=(0.36, 0.96), cycles=1),
        ),
    ),
    Video(
        number=17, part=NESTED_PART, folder="part_002/Uj7dGn2TsOe", stem="Uj7dGn2TsOe_segment3", scene="beach",
        num_frames=49,
        actors=(
            Actor(what=SAM, height=0.66, start=(0.32, 0.95), end=(0.38, 0.95), cycles=2),
            Actor(what="ball", color=(230, 90, 70), height=0.16, start=(0.50, 0.90), end=(0.78, 0.92), cycles=2,
                bounce=0.22),
        ),
    ),
    Video(
        number=18, part=FLAT_PART, folder=None, stem="c2VnQy6ZtBk_segment2", scene="evening_meadow", fps=Fraction(30),
        num_frames=49, gop=30,
        actors=(
            Actor(what="airship", color=(236, 150, 66), height=0.58, start=(0.68, 0.62), end=(0.72, 0.58), cycles=1),
            Actor(what=EVA, height=0.60, start=(0.34, 0.96), end=(0.40, 0.96), cycles=2),
        ),
    ),
    Video(
        number=19, part=FLAT_PART, folder=None, stem="m4YvQx0bRk6_segment5", scene="meadow", num_frames=49,
            in_tar=False,
        actors=(
            Actor(what="tree", color=(96, 158, 78), height=0.66, start=(0.74, 0.82), end=(0.74, 0.82), cycles=1),
            Actor(what=NOA, height=0.62, start=(0.36, 0.95), end=(0.44, 0.95), cycles=2),
        ),
    ),
    Video(
        number=20, part=NESTED_PART, folder="part_002/Qh5unUsed0x", stem="Qh5unUsed0x_segment1", scene="pond",
        num_frames=25,
        width=320, height=180,
        actors=(Actor(what="duck", color=(240, 238, 230), height=0.30, start=(0.40, 0.80), end=(0.60, 0.80),
            cycles=2),),
    ),
)  # fmt: skip
