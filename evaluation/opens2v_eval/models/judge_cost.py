"""What will the judge cost? Requests and tokens before anything is asked; money only by prices that the user gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# An assumption for a schema of one number; models that think before they answer need more: give `output_tokens`.
OUTPUT_TOKENS = 10
CHARACTERS_PER_TOKEN = 4  # of English words
MESSAGE_TOKENS = 20  # roles and the schema


def tile_tokens(width: int, height: int, *, base: int = 85, per_tile: int = 170) -> int:
    """Return tokens of an image by the rule of GPT-4o's documentation, `detail: high`.

    The image is shrunk into 2048x2048, its short side to 768 pixels at most, and cut into tiles of 512; each counts, and the
    image once. Source: "Calculating costs" in OpenAI's guide to images and vision, for GPT-4o, GPT-4.1 and GPT-4.5. Other models
    count otherwise: give a number, or a rule of your own.
    """
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    columns, rows = (-(-round(side * scale) // 512) for side in (width, height))
    return base + per_tile * columns * rows


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """What asking would take, if nothing is stored and no request fails.

    Attributes:
        videos: to be judged.
        requests: a video's runs are a request each.
        images: sent in all requests.
        input_tokens, output_tokens: in all requests.
        cost: in the currency of the prices; None without prices.
        rule: how tokens were counted, in words.
    """

    videos: int
    requests: int
    images: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    rule: str

    def __str__(self) -> str:
        money = "give prices per million tokens to see the cost" if self.cost is None else f"about {self.cost:.2f}"
        return (
            f"{self.videos} videos, {self.requests} requests with {self.images} images: about {self.input_tokens} tokens in, "
            f"{self.output_tokens} out ({self.rule}); {money}"
        )


def estimate_cost(
    sizes: Iterable[tuple[int, int, int]],
    *,
    prompt: str,
    runs: int,
    tokens_per_image: int | Callable[[int, int], int] = tile_tokens,
    output_tokens: int = OUTPUT_TOKENS,
    input_price: float | None = None,
    output_price: float | None = None,
) -> CostEstimate:
    """Estimate requests, tokens and cost.

    Args:
        sizes: width, height and number of the images of each video, as they are sent.
        prompt: the words with them.
        runs: requests a video.
        tokens_per_image: a number, or a rule of width and height.
        output_tokens: of an answer.
        input_price: per million tokens, in any currency; of the user's provider, today.
        output_price: likewise.

    Raises:
        ValueError: a negative price, or one price without the other.
    """
    if (input_price is None) != (output_price is None):
        raise ValueError(f"expected both prices or none, not {input_price} and {output_price}")
    if min(input_price or 0, output_price or 0) < 0:
        raise ValueError(f"a price is 0 or more, not {input_price} and {output_price}")
    words = -(-len(prompt) // CHARACTERS_PER_TOKEN) + MESSAGE_TOKENS
    videos = images = tokens = 0
    for width, height, count in sizes:
        each = tokens_per_image if isinstance(tokens_per_image, int) else tokens_per_image(width, height)
        videos, images, tokens = videos + 1, images + count, tokens + count * each + words
    tokens_out = videos * runs * output_tokens
    cost = None
    if input_price is not None and output_price is not None:
        cost = (tokens * runs * input_price + tokens_out * output_price) / 1e6
    counted = (
        f"{tokens_per_image} tokens an image" if isinstance(tokens_per_image, int) else "images by tiles of 512 pixels"
    )
    return CostEstimate(
        videos=videos,
        requests=videos * runs,
        images=images * runs,
        input_tokens=tokens * runs,
        output_tokens=tokens_out,
        cost=cost,
        rule=f"{counted}, {CHARACTERS_PER_TOKEN} characters a token, {output_tokens} tokens an answer",
    )
