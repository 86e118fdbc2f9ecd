"""Figure 1: how much sooner a network of rectified linear units reaches a training error than one of tanh."""
