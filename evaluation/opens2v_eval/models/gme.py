"""How near are a text and a picture? Cosines of GME, an embedder made of Qwen2-VL.

    <|im_start|>system\\n{instruction}<|im_end|>\\n
    <|im_start|>user\\n{<|vision_start|><|image_pad|>…<|vision_end|>}{text}<|im_end|>\\n
    <|im_start|>assistant\\n<|endoftext|>          ← the hidden state of this token, L2-normalised, is the embedding

**Positions.** Qwen2-VL gives the tokens of a picture three position ids (time, row, column), worked out from the picture's
grid. The code that made the published scores fills the pictures into `inputs_embeds` itself and calls the language model
without the grids, which therefore counts tokens: one id each, 0, 1, 2, … Passing grids through `Qwen2VLModel.forward`
gives other embeddings, and other scores than the leaderboard's. So the ids are always given explicitly here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from opens2v_data.errors import MetricError, MissingExtraError
from opens2v_eval.models.checkpoints import explained
from opens2v_eval.models.gme_images import MAX_IMAGE_TOKENS, MIN_IMAGE_TOKENS, SIDE_OF_TOKEN, frame_patches, prepared
from opens2v_eval.models.loading import load_pretrained

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from PIL import Image

    Picture: TypeAlias = Image.Image | np.ndarray | torch.Tensor

# The default of upstream's get_gmescore.py and get_nexusscore.py; the 2B model of the same family is not comparable with it.
PUBLISHED_GME = "Alibaba-NLP/gme-Qwen2-VL-7B-Instruct"
# Source of these: modeling_gme_qwen2vl.py in the model's repository, get_gmescore.py of upstream.
DEFAULT_INSTRUCTION = "You are a helpful assistant."
RETRIEVAL_INSTRUCTION = "Find an image that matches the given text."
MAX_TOKENS = 1800
IMAGE_TOKEN = "<|image_pad|>"


class Embedder(Protocol):
    """What GmeScore and NexusScore need of a model: unit vectors whose products are cosines."""

    def embed_texts(self, texts: Sequence[str], *, instruction: str = DEFAULT_INSTRUCTION) -> torch.Tensor:
        """Return `(N, D) float32`, L2-normalised, in host memory."""
        ...

    def embed_images(self, images: Sequence[Any]) -> torch.Tensor:
        """Return `(N, D) float32`, L2-normalised, in host memory.

        Args:
            images: PIL pictures or `(H, W, 3) uint8 RGB`; for a class with `takes_tensors = True` tensors `(3, H, W)`, too.
        """
        ...


class Gme:
    """GME with its weights loaded.

    Args:
        model: a `Qwen2VLModel`.
        tokenizer: the model's.
        image_processor: a `Qwen2VLImageProcessorPil`.
        batch_size: texts or pictures per pass.
    """

    takes_tensors = True

    def __init__(self, model: Any, *, tokenizer: Any, image_processor: Any, batch_size: int = 8) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is 1 or more, not {batch_size}")
        self._model = model
        self._tokenizer = tokenizer
        self._image_processor = image_processor
        self._batch_size = batch_size
        self._image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        if self._image_token_id != model.config.image_token_id:
            raise MetricError(
                f"the tokenizer's id of {IMAGE_TOKEN} is {self._image_token_id}, the model's is "
                f"{model.config.image_token_id}: they are not of one model; load both from one repository"
            )

    @classmethod
    def load(
        cls,
        source: str = PUBLISHED_GME,
        *,
        revision: str | None = None,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        batch_size: int = 8,
        min_image_tokens: int = MIN_IMAGE_TOKENS,
        max_image_tokens: int = MAX_IMAGE_TOKENS,
    ) -> Self:
        """Load a checkpoint.

        Args:
            source: a Hub id, or a folder that has the model's files.
            revision: a commit or tag on the Hub.
            device: where the model runs.
            dtype: of weights; None for float16 on a GPU, as the published scores have it (they are multiples of 2**-11),
                and float32 on a CPU.
            batch_size: texts or pictures per pass.
            min_image_tokens: smaller pictures are enlarged to so many tokens.
            max_image_tokens: larger pictures are shrunk to so many tokens.

        Raises:
            MissingExtraError: transformers or torch is absent.
            MetricError: the files are not there, are of another model, or lack weights.
        """
        try:
            import torch
            from transformers import AutoTokenizer, Qwen2VLModel
            from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
        except ImportError as error:
            raise MissingExtraError(package="transformers", extra="eval", needed_for="GME") from error

        dtype = dtype or (torch.float32 if torch.device(device).type == "cpu" else torch.float16)
        size = {
            "shortest_edge": min_image_tokens * SIDE_OF_TOKEN**2,
            "longest_edge": max_image_tokens * SIDE_OF_TOKEN**2,
        }
        model = load_pretrained(Qwen2VLModel, source, what="GME", revision=revision or "main", dtype=dtype)
        with explained(source, what="GME's tokenizer and image processor"):
            revision = revision or "main"
            tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
            image_processor = Qwen2VLImageProcessorPil.from_pretrained(source, revision=revision, size=size)
        return cls(model.to(device), tokenizer=tokenizer, image_processor=image_processor, batch_size=batch_size)

    def embed_texts(self, texts: Sequence[str], *, instruction: str = DEFAULT_INSTRUCTION) -> torch.Tensor:
        """Return embeddings of texts.

        Args:
            texts: any lengths; tokens past 1800 are cut off, the pooled one included, as in the published code.
            instruction: the system's words; `RETRIEVAL_INSTRUCTION` for a text that is to find a picture.

        Returns:
            `(N, D) float32`, L2-normalised, in host memory.
        """
        return self._embed([(text, None) for text in texts], instruction)

    def embed_images(self, images: Sequence[Picture]) -> torch.Tensor:
        """Return embeddings of pictures.

        Args:
            images: PIL pictures, `(H, W, 3) uint8 RGB`, or tensors `(3, H, W) uint8 RGB`, of any sizes. Tensors do not leave
                their device before they are embedded.

        Returns:
            `(N, D) float32`, L2-normalised, in host memory; of tensors the same but for a level of rounding in the pixels.
        """
        return self._embed([("", image) for image in images], DEFAULT_INSTRUCTION)

    def embed_pairs(
        self, texts: Sequence[str], images: Sequence[Picture], *, instruction: str = DEFAULT_INSTRUCTION
    ) -> torch.Tensor:
        """Return one embedding for each picture with its text.

        Returns:
            `(N, D) float32`, L2-normalised, in host memory.

        Raises:
            ValueError: not as many texts as pictures.
        """
        return self._embed(list(zip(texts, images, strict=True)), instruction)

    def _embed(self, items: list[tuple[str, Picture | None]], instruction: str) -> torch.Tensor:
        import torch

        width = self._model.config.text_config.hidden_size
        rows = [
            self._embed_batch(items[start : start + self._batch_size], instruction)
            for start in range(0, len(items), self._batch_size)
        ]
        return torch.cat(rows) if rows else torch.zeros(0, width)

    def _embed_batch(self, items: list[tuple[str, Picture | None]], instruction: str) -> torch.Tensor:
        pixels, grids = self._patches([image for _, image in items if image is not None])
        waiting = iter(self._counts(grids))
        texts = [
            prompt_of(text, num_image_tokens=None if image is None else next(waiting), instruction=instruction)
            for text, image in items
        ]
        return self._pooled(texts, pixels, grids)

    def _patches(self, pictures: Sequence[Picture]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return patches, on the model's device, and grids of pictures; a tensor's are made where it is."""
        import torch

        made = []
        for picture in pictures:
            if isinstance(picture, torch.Tensor):
                made.append(frame_patches(picture[None], **self._pixel_limits()))
            else:
                seen = self._image_processor(images=[prepared(picture, **self._pixel_limits())], return_tensors="pt")
                made.append((seen["pixel_values"], seen["image_grid_thw"]))
        if not made:
            return None, None
        device = self._model.device
        return torch.cat([pixels.to(device) for pixels, _ in made]), torch.cat([grids for _, grids in made])

    def _pixel_limits(self) -> dict[str, int]:
        size = self._image_processor.size
        return {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}

    def _counts(self, grids: torch.Tensor | None) -> list[int]:
        """Return how many tokens each picture is."""
        patches_per_token = self._model.config.vision_config.spatial_merge_size**2
        return [] if grids is None else (grids.prod(-1) // patches_per_token).tolist()

    def _pooled(self, texts: list[str], pixels: torch.Tensor | None, grids: torch.Tensor | None) -> torch.Tensor:
        """Return the embedding of each text, pictures in the places held for them."""
        import torch

        counts = self._counts(grids)
        token_ids = [self._tokenizer(text)["input_ids"][:MAX_TOKENS] for text in texts]
        if sum(row.count(self._image_token_id) for row in token_ids) != sum(counts):
            raise ValueError(
                f"expected {sum(counts)} tokens of pictures among the first {MAX_TOKENS} of each text: the text must not hold "
                f"{IMAGE_TOKEN}, and the instruction must leave room for {max(counts, default=0)} tokens of a picture"
            )
        input_ids, mask = _left_padded(token_ids, pad=self._tokenizer.pad_token_id or 0)
        device = self._model.device
        input_ids, mask = input_ids.to(device), mask.to(device)
        with torch.inference_mode():
            embeds = self._model.get_input_embeddings()(input_ids)
            if pixels is not None and grids is not None:
                features = self._model.get_image_features(pixels.to(device), grids.to(device)).pooler_output
                places = (input_ids == self._image_token_id).unsqueeze(-1).expand_as(embeds)
                embeds = embeds.masked_scatter(places, torch.cat(list(features)).to(embeds.dtype))
            hidden = self._model.language_model(
                inputs_embeds=embeds, attention_mask=mask, position_ids=plain_position_ids(mask), use_cache=False
            ).last_hidden_state
        # Left padding: the last token of each row is its own. Normalised in float32, where the published code stays in
        # float16; that is a difference of at most the rounding of one float16.
        return torch.nn.functional.normalize(hidden[:, -1].float(), dim=-1).cpu()


def prompt_of(text: str, *, num_image_tokens: int | None, instruction: str) -> str:
    """Return the words that GME reads.

    Args:
        text: the user's words; may be empty beside a picture.
        num_image_tokens: places to hold for a picture; None without one.
        instruction: the system's words.
    """
    picture = "" if num_image_tokens is None else f"<|vision_start|>{IMAGE_TOKEN * num_image_tokens}<|vision_end|>"
    return (
        f"<|im_start|>system\n{instruction}<|im_end|>\n<|im_start|>user\n{picture}{text}<|im_end|>\n"
        "<|im_start|>assistant\n<|endoftext|>"
    )


def plain_position_ids(mask: torch.Tensor) -> torch.Tensor:
    """Count the tokens of each row, for all three axes of Qwen2-VL's positions alike.

    Args:
        mask: `(N, L)`, 1 for a token, 0 for padding.

    Returns:
        `(3, N, L) int64`; 0 on padding. The published code counts padding too; rotary positions are relative, so that a
        shift of a whole row changes nothing.
    """
    return (mask.long().cumsum(-1) - 1).clamp(min=0).expand(3, -1, -1)


def _left_padded(rows: list[list[int]], *, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `(N, L) int64` of token ids and `(N, L) int64` of 1 for tokens and 0 for padding, padding first."""
    import torch

    longest = max(len(row) for row in rows)
    input_ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return input_ids, mask
