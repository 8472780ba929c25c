"""Pictures: background plates, and GPT-Image-1 views as clean studio renderings of the same subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.sample.brush import Brush, Color, Sprite, import_pillow
from opens2v_data.sample.facts import ClipFacts, ViewFacts
from opens2v_data.sample.figures import Look, draw_figure

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_data.sample.film import Stage
    from opens2v_data.sample.story import Take

PASTELS: tuple[Color, ...] = ((250, 238, 226), (232, 242, 248), (238, 246, 232), (246, 234, 244))


def write_png(path: Path, rgb: np.ndarray) -> None:
    """Write (H, W, 3) uint8 as a small PNG."""
    image, _ = import_pillow()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(np.ascontiguousarray(rgb)).save(path, "PNG", compress_level=6)


def views_folder(take: Take, key: str) -> str:
    """Give the folder's name: the clip's key, or the same with the stage suffix that older views carry."""
    return key.replace("_step3_step4_step5", "_step4_step5_step6") if take.old_suffix else key


def write_views(root: Path, take: Take, stage: Stage, clip: ClipFacts) -> tuple[ViewFacts, ...]:
    """Write a clip's views with their source frame below `GPT-Frames`."""
    folder = views_folder(take, clip.key)
    source = f"GPT-Frames/{folder}/main_image.png"
    write_png(root / source, stage.snapshot(clip.ann_frame_idx).rgb)
    ids = {subject.class_name: subject.object_id for subject in reversed(clip.subjects)}
    views: list[ViewFacts] = []
    for index, (class_name, what) in enumerate(take.views):
        path = f"GPT-Frames/{folder}/{index}_{class_name.replace(' ', '_')}.png"
        backdrop = PASTELS[(stage.video.number + index) % len(PASTELS)]
        write_png(root / path, studio_picture(stage, what, backdrop=backdrop, phase=index / 8))
        views.append(
            ViewFacts(
                clip_key=clip.key,
                folder=folder,
                view_idx=index,
                class_name=class_name,
                object_id=ids.get(class_name),
                path=path,
                source_path=source,
            )
        )
    return tuple(views)


def studio_picture(stage: Stage, what: str, *, backdrop: Color, phase: float = 0.0) -> np.ndarray:
    """Draw one subject alone, larger than in the video, before a pastel backdrop.

    Returns:
        (H, W, 3) uint8, of one of the three shapes that GPT-Image-1 gives (square, upright, wide), at 3/8 of its size.
    """
    name, _, part = what.partition("~")[0].partition(".")
    actor = stage.video.actors[int(name)]
    drawn, color = actor.what, actor.color
    if part and isinstance(drawn, Look):  # a thing that a person holds, drawn without the hands before it
        drawn, color = part, drawn.thing
    small = draw_figure(drawn, height=100, phase=phase, color=color)
    sprite = draw_figure(drawn, height=100 * 600 / max(small.height, small.width), phase=phase, color=color)
    ratio = sprite.width / sprite.height
    width, height = (576, 384) if ratio > 1.35 else (384, 576) if ratio < 0.72 else (384, 384)
    canvas = Brush(width, height)
    top: Color = (min(255, backdrop[0] + 5), min(255, backdrop[1] + 5), min(255, backdrop[2] + 5))
    edges = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=float)
    canvas.paint(edges, (top, (backdrop[0] * 0.93, backdrop[1] * 0.93, backdrop[2] * 0.93)), shade=0)
    canvas.glow((width / 2, height * 0.45), max(width, height) * 0.6, (255, 255, 255), opacity=0.8)
    rgb = canvas.picture()
    sprite = _shrunk(sprite, min(0.80 * width / sprite.width, 0.82 * height / sprite.height))
    y, x = (height - sprite.height) // 2, (width - sprite.width) // 2
    here = (slice(y, y + sprite.height), slice(x, x + sprite.width))
    through = 255 - sprite.alpha.astype(np.uint16)[..., None]
    rgb[here] = sprite.color + ((rgb[here] * through + 127) // 255).astype(np.uint8)
    return rgb


def _shrunk(sprite: Sprite, scale: float) -> Sprite:
    image, _ = import_pillow()
    size = (max(1, round(sprite.width * scale)), max(1, round(sprite.height * scale)))
    color = np.asarray(image.fromarray(np.ascontiguousarray(sprite.color)).resize(size, image.Resampling.BOX))
    alpha = np.asarray(image.fromarray(np.ascontiguousarray(sprite.alpha)).resize(size, image.Resampling.BOX))
    # Each channel is rounded on its own; colour above alpha would overflow where the two are added.
    return Sprite(color=np.minimum(color, alpha[..., None]), alpha=alpha, whole=alpha >= 128, regions={}, anchor=(0, 0))
