"""Networks pre-trained on a larger class set and fine-tuned (paper, table 2: 1 CNN*, 7 CNNs*)."""
