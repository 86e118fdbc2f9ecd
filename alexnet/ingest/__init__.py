"""From raw pictures to the store: sources, decoding, resizing, shards."""
