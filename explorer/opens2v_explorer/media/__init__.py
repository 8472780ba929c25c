"""What the pages show of clips: pictures and video by catalog ids."""
