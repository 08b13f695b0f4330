"""The terms of the SSAH objective, one function each; all are to be minimised.

Source: Li et al., Self-Supervised Adversarial Hashing Networks for Cross-Modal Retrieval,
CVPR 2018, equations 2 to 4. Every term is a mean here, over pairs, bits or items, where
the paper has sums, so that weights do not depend on the size of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def similarity(labels: Tensor) -> Tensor:
    """S: 1 where two items share a label, and for each item with itself.

    Parameters
    ----------
    labels : float32 (n, c) of 0 and 1

    Returns
    -------
    float32 (n, n)
    """
    shared = (labels @ labels.T > 0).float()
    return shared.fill_diagonal_(1)


def pairwise_nll(left: Tensor, right: Tensor, similar: Tensor, scale: float) -> Tensor:
    """J1 (on features) and J2 (on codes) of equations 2 and 3: softplus(t) - S t.

    t is ``scale`` times the inner product; the paper's scale is 1/2. Similar and dissimilar
    pairs weigh one half each: where labels are many, similar pairs are few, and a plain mean
    would be minimised by pushing everything apart.

    Parameters
    ----------
    left, right : float32 (n, d)
    similar : float32 (n, n) of 0 and 1
    scale : float
    """
    logits = scale * left @ right.T
    share = similar.mean().clamp(1e-6, 1 - 1e-6)
    weight = torch.where(similar > 0, 0.5 / share, 0.5 / (1 - share))
    return functional.binary_cross_entropy_with_logits(logits, similar, weight)


def quantisation(activations: Tensor) -> Tensor:
    """J3 of equations 2 and 3, (H - B)^2 with B = sign(H) held constant; float32 (n, bits)."""
    signs = torch.where(activations >= 0, 1.0, -1.0)
    return (activations - signs).square().mean()


def classification(logits: Tensor, labels: Tensor) -> Tensor:
    """J4 of equations 2 and 3, with cross-entropy for the paper's squared error.

    The gradient of a squared error through a sigmoid vanishes where it is most wrong.
    Both arguments are float32 (n, c).
    """
    return functional.binary_cross_entropy_with_logits(logits, labels)


def discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """L_adv of equation 4, minimised by D: label features are 1, image or text features 0.

    Both arguments are D's scores, float32 (n, 1).
    """
    return (real - 1).square().mean() + fake.square().mean()


def adversary(fake: Tensor) -> Tensor:
    """What ImgNet and TexNet minimise against D: their features should score as 1.

    The non-saturating form of equation 4, as the authors' code has it.
    """
    return (fake - 1).square().mean()


def likeness(bags: Tensor) -> Tensor:
    """How far texts may stand for each other: the cosine of their words to the sixth.

    Parameters
    ----------
    bags : float32 (n, words), of unit length

    Returns
    -------
    float32 (n, n)
        Each row sums to 1; most of it lies on the item itself and on equal texts.
    """
    cosines = (bags @ bags.T).pow(6).fill_diagonal_(1)
    return cosines / cosines.sum(dim=1, keepdim=True)


def contrast(images: Tensor, texts: Tensor, targets: Tensor, scale: float) -> Tensor:
    """In-batch InfoNCE: of all texts the image's own is nearest, and the other way round.

    Not in the paper: shared labels alone do not tell an item from its class.

    Parameters
    ----------
    images, texts : float32 (n, bits)
        Activations; row i of both is one pair.
    targets : float32 (n, n)
        As `likeness` makes them, so that an equal text is not pushed away.
    scale : float
        Inverse temperature of the inner product.
    """
    logits = scale * images @ texts.T
    forward = functional.cross_entropy(logits, targets)
    return (forward + functional.cross_entropy(logits.T, targets)) / 2
