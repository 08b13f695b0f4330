"""Cross-modal hash encoders in torch: SSAH (Li et al., CVPR 2018) and what it needs.

The engine finds this package through the entry point group ``ssah_index.encoders``.
"""
