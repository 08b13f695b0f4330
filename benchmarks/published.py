"""Published MAP on MIRFLICKR-25K over the whole ranking, as quoted; other trunks, other splits."""

from __future__ import annotations

PUBLISHED = (
    ("DCMH, CNN-F", "SSAH paper, Table 2", "0.735 0.737 0.750", "0.763 0.764 0.775"),
    ("SSAH, CNN-F", "SSAH paper, Table 2", "0.782 0.790 0.800", "0.791 0.795 0.803"),
    ("SSAH, VGG-19", "SSAH paper, Table 3", "0.797 0.809 0.810", "0.782 0.797 0.799"),
    ("SSAH", "run again by AGAH, 2019", "0.7709 0.7840 0.7924", "0.7681 0.7737 0.7838"),
    ("SSAH", "in DCMHT's table, 2022", "0.7890 0.8005 0.8060", "0.7880 0.8001 0.8000"),
    ("SSAH", "run again by MITH, 2023", "0.7641 0.7790 0.7867", "0.7790 0.7885 0.8041"),
    ("AGAH, CNN-F", "its paper, 2019", "0.7923 0.7945 0.8069", "0.7887 0.7904 0.8049"),
    ("DCMHT, CLIP ViT-B/32", "its paper, 2022", "0.8263 0.8272 0.8441", "0.8116 0.8137 0.8281"),
    ("MITH, CLIP ViT-B/32", "its paper, 2023", "0.8464 0.8645 0.8718", "0.8228 0.8389 0.8468"),
)
"""Method and trunk, source, image to text and text to image, at 16, 32 and 64 bits each."""
