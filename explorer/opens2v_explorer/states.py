"""What can be in the way of seeing something, each with its own words: one table for pages, routes and scripts in the browser.

A page never shows an empty place: it shows a state, which says what is so, what was found, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class State:
    """One thing that is in the way.

    Attributes:
        code: short name, stable; header `X-State` of an answer, and `data-state` of an element.
        title: a few words, for a person.
        detail: what was found here; plain text that comes from data, so it is to be escaped.
        advice: what to do about it; "" where nothing can be done.
        status: of a route's answer, HTTP; 200 for what is no error of a request.
    """

    code: str
    title: str
    detail: str = ""
    advice: str = ""
    status: int = 200

    def as_json(self) -> dict[str, str]:
        """Return what a route answers with."""
        return {"state": self.code, "title": self.title, "detail": self.detail, "advice": self.advice}


_TABLE = (
    # -- bytes
    State(
        code="not-in-release",
        title="No video in this release",
        detail="The tars that were indexed have no file for this clip.",
        advice="Filter such clips out with has_video, or index a release that has them.",
        status=404,
    ),
    State(
        code="not-here",
        title="Bytes not here",
        detail="The catalog knows the clip, but the file that holds its bytes is not there.",
        advice="Say where the release is with --release, or OPENS2V_RELEASE.",
        status=404,
    ),
    State(
        code="unreachable",
        title="No answer from the server",
        detail="The server that holds the release did not give the bytes.",
        advice="Try again in a moment; check the connection if it stays so.",
        status=503,
    ),
    State(
        code="corrupt",
        title="Cannot be decoded",
        detail="The bytes are there, but they are not the video or picture that they should be.",
        advice="Fetch the file again, or drop the clip.",
        status=422,
    ),
    State(
        code="truncated",
        title="Video ends early",
        detail="The file stops before the end that its own index promises.",
        advice="Frames up to there can be trusted; drop the clip if its cut goes on past them.",
    ),
    State(
        code="not-kept",
        title="Not kept on this machine",
        detail="What was read or made for the pages could not be written to the disk.",
        advice="Pages show it all the same, and read or make it again each time. Make room, or start the explorer anew "
        "with another folder in OPENS2V_CACHE (clips) or XDG_CACHE_HOME (pictures); --pictures-gb 0 keeps no pictures.",
    ),
    # -- annotations
    State(
        code="no-frame",
        title="No annotated frame",
        detail="Upstream names no frame that boxes and masks belong to.",
        advice="The video can be watched all the same.",
        status=409,
    ),
    State(
        code="no-mask",
        title="No mask",
        detail="Upstream gives this subject no mask that covers anything.",
        advice="Its box is shown instead, where it has one.",
        status=409,
    ),
    State(
        code="no-masks",
        title="No masks",
        detail="Upstream gives none of this clip's subjects a mask.",
        advice="Boxes are shown instead, where there are any.",
    ),
    State(
        code="mask-size",
        title="Mask is not of the frame's size",
        detail="Mask and cropped frame differ in size, so it is not known where the mask belongs.",
        advice="Do not train on this mask; its box may still be right.",
        status=409,
    ),
    State(
        code="box-far",
        title="Box far from mask",
        detail="The subject's box and the box around its mask hardly overlap.",
        advice="Look at both: one of them shows something else.",
    ),
    State(
        code="no-subjects",
        title="No subjects",
        detail="Upstream detected nothing in this clip's annotated frame.",
        advice="",
    ),
    State(
        code="no-caption",
        title="No caption",
        detail="Upstream wrote no text for this clip.",
        advice="",
    ),
    State(
        code="no-pairs",
        title="No cross-video pairs",
        detail="Upstream found none of this clip's subjects again in another clip.",
        advice="Pairs are only in the Nexus part of the release.",
    ),
    State(
        code="no-views",
        title="No GPT-Image-1 views",
        detail="Upstream made no generated view of this clip's subjects.",
        advice="Views are only in the Nexus part of the release.",
    ),
    State(
        code="no-source",
        title="No source frame",
        detail="The frame that this view was made from is not in the release.",
        advice="The clip's annotated frame shows the same moment.",
        status=404,
    ),
    State(
        code="no-background",
        title="No background plate",
        detail="The release has no plate for this clip.",
        advice="",
        status=404,
    ),
    # -- requests
    State(
        code="no-such-clip",
        title="No such clip",
        detail="No clip of this catalog has that id or key.",
        advice="Ids change when a catalog is made anew from other files: look the clip up by its key.",
        status=404,
    ),
    State(
        code="no-such-subject",
        title="No such subject",
        detail="The clip has no subject of that id.",
        advice="Object ids count from 1, within their clip.",
        status=404,
    ),
    State(
        code="no-such-view",
        title="No such view",
        detail="The clip has no generated view of that number.",
        advice="Views count from 0, in the order of the table.",
        status=404,
    ),
    State(
        code="no-such-frame",
        title="No such frame",
        detail="The file has fewer frames.",
        advice="Frames count from 0, in display order.",
        status=404,
    ),
    State(
        code="bad-id",
        title="Not an id",
        detail="An id is a whole number from 0.",
        advice="Follow a link of the page instead of writing the address.",
        status=400,
    ),
    State(
        code="bad-range",
        title="Range outside the file",
        detail="The bytes asked for lie past the end.",
        advice="",
        status=416,
    ),
    State(
        code="refused",
        title="Request refused",
        detail="It did not come from this explorer's own pages.",
        advice="Open the address that `opens2v explore` printed; reload the page if the explorer was started anew.",
        status=403,
    ),
    # -- the benchmark
    State(
        code="no-video",
        title="No video",
        detail="The model's folder has no file of this prompt's key.",
        advice="Generate it as KEY.mp4, and start the explorer anew.",
        status=404,
    ),
    State(
        code="no-reference",
        title="No reference image",
        detail="The prompts name an image that is not on this machine.",
        advice="Say which folder holds Images/ with --images.",
        status=404,
    ),
    State(
        code="no-such-model",
        title="No such model",
        detail="The explorer was not started with a model of that number.",
        advice="Models count from 0, in the order of --eval.",
        status=404,
    ),
    State(
        code="no-such-prompt",
        title="No such prompt",
        detail="The benchmark's prompts have none of that key.",
        advice="Choose one of the list.",
        status=404,
    ),
    State(
        code="no-prompt-fits",
        title="No prompt fits",
        detail="All that is asked for must hold, and no prompt meets it.",
        advice="Ask for less.",
    ),
    State(
        code="not-for",
        title="Does not apply",
        detail="The metric has nothing to measure for this prompt.",
    ),
    State(
        code="not-run",
        title="Not run",
        detail="The model's scores have no file of this metric.",
        advice="Run it with `opens2v eval run`.",
    ),
    State(
        code="no-scores",
        title="No scores given",
        detail="The model was given without a folder of scores.",
        advice="Add it: --eval NAME=VIDEOS,SCORES.",
    ),
    State(
        code="no-score",
        title="No score",
        detail="The metric was run, and its file has nothing for this video.",
        advice="Run it again: what is there is kept.",
    ),
    State(
        code="no-details",
        title="Not known by frame",
        detail="The corrected mode counts frames, and of this video there is only the published number.",
        advice="Scores that `opens2v eval run` writes have it, below details/.",
    ),
    State(
        code="no-face",
        title="No face in the reference",
        detail="FaceSim found no face in the reference image to compare with.",
    ),
    State(
        code="refusal",
        title="No number from the judge",
        detail="The judge refused, or answered in prose.",
        advice="Its answers stand below the table.",
    ),
    State(
        code="not-a-number",
        title="Not a number",
        detail="The score file has an entry for this video that cannot be used.",
        advice="Run the metric again.",
    ),
    State(
        code="zero",
        title="Left out",
        detail="It is 0, which the published mode leaves out of NexusScore's mean.",
        advice="The corrected mode counts it.",
    ),
    # -- pages
    State(
        code="no-results",
        title="No clip fits",
        detail="All filters must hold, and no clip meets them all.",
        advice="Remove the narrowest one.",
    ),
    State(
        code="counting",
        title="Still counting",
        detail="The clips are shown; how many there are is being counted.",
        advice="",
    ),
    State(
        code="unsaved",
        title="Verdicts not saved yet",
        detail="The explorer does not answer; verdicts wait in this browser.",
        advice="Keep the page open: they are sent as soon as it answers.",
    ),
    State(
        code="log-unwritable",
        title="Verdicts cannot be written",
        detail="The log of verdicts cannot be written.",
        advice="Make its file and folder writable, or start the explorer with --verdicts FILE; verdicts wait in this browser.",
        status=503,
    ),
    State(
        code="no-verdicts",
        title="No verdicts yet",
        detail="The log of verdicts is empty.",
        advice="Judge some clips on the Triage page; what is decided there is counted here.",
    ),
    State(
        code="queue-done",
        title="All judged",
        detail="No clip of this filter is left to judge.",
        advice="Go on to Review, start a second pass, or widen the filter.",
    ),
)

STATES: Mapping[str, State] = MappingProxyType({state.code: state for state in _TABLE})
"""All of them, by code."""


def state(code: str, detail: str | None = None) -> State:
    """Return a state, with what was found here where that is known.

    Raises:
        KeyError: there is no such state.
    """
    found = STATES[code]
    return found if detail is None else replace(found, detail=detail)


class StateError(Exception):
    """Something cannot be shown, and `state` says why."""

    def __init__(self, state: State) -> None:
        super().__init__(f"{state.title}: {state.detail}")
        self.state = state
