"""One short command a stage: read parameters, call `alexnet`, write outputs. No logic lives here."""
