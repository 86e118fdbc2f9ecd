"""The nearest training pictures, exactly and by short binary codes (paper, section 6.1)."""
