"""The two sizes of the paper (sections 2 and 4.1), in pixels per side."""

# Every picture is prepared as 256×256, and the network sees a patch of 224×224.
PICTURE = 256
PATCH = 224
