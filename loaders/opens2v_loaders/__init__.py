"""From member bytes to pictures: exact frames, masks and subject cut-outs."""
