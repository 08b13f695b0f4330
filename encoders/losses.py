"""The terms of the SSAH objective, one function each; all are to be minimised.

Source: Li et al., Self-Supervised Adversarial Hashing Networks for Cross-Modal Retrieval,
CVPR 2018, equations 2 to 4. J1 to J4 are sums, as in the paper; a trainer divides their
weighted sum by n * B, the pairs in it, so that weights keep the paper's meaning. The
released code (``official``) squares the pair terms and halves the others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def similarity(left: Tensor, right: Tensor, positive: float = 1.0) -> Tensor:
    """S: ``positive`` where two items share a label, else 0.

    Parameters
    ----------
    left, right : float32 (n, c), (m, c) of 0 and 1
    positive : float
        1 in the paper, 0.999 in the released code.

    Returns
    -------
    float32 (n, m)
    """
    return (left @ right.T > 0).to(left.dtype) * positive


def pairwise_nll(left: Tensor, right: Tensor, similar: Tensor) -> Tensor:
    """J1 (features F) and J2 (codes H), equations 2 and 3: sum of softplus(t) - S t.

    t is half the inner product. Softplus is the stable one: log(1 + exp(t)) as the
    released code has it overflows from t = 88.7 on.

    Parameters
    ----------
    left : float32 (n, d)
        Of LabNet, or of the memory bank.
    right : float32 (m, d)
    similar : float32 (n, m)
    """
    theta = 0.5 * left @ right.T
    return (functional.softplus(theta) - similar * theta).sum()


def pairwise_squared(left: Tensor, right: Tensor, similar: Tensor) -> Tensor:
    """J1 and J2 as the released code trains them: half the sum of the squared NLL."""
    theta = 0.5 * left @ right.T
    return 0.5 * (similar * theta - functional.softplus(theta)).square().sum()


def quantisation(codes: Tensor) -> Tensor:
    """J3, equations 2 and 3: sum of (H - B)^2, with B = sign(H) held constant."""
    return (codes - torch.where(codes >= 0, 1.0, -1.0)).square().sum()


def classification(scores: Tensor, labels: Tensor) -> Tensor:
    """J4, equations 2 and 3: sum of (L^ - L)^2 on sigmoid scores, float32 (n, c)."""
    return (scores - labels).square().sum()


def discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """L_adv, equation 4, minimised by D: label features are 1, image or text features 0.

    Both arguments are D's scores, float32 (n, 1); the mean over each is taken.
    """
    return (real - 1).square().mean() + fake.square().mean()


def adversary(fake: Tensor) -> Tensor:
    """What ImgNet and TexNet minimise against D: their features should score as 1.

    The non-saturating form of equation 4, as both of the authors' codes have it.
    """
    return (fake - 1).square().mean()


def balanced_nll(
    left: Tensor, right: Tensor, similar: Tensor, scale: float | Tensor, bias: float | Tensor = 0.0
) -> Tensor:
    """J2 as a mean in which similar and dissimilar pairs weigh one half each.

    Where labels are many, similar pairs are few, and a plain mean would be minimised by
    pushing everything apart.

    Parameters
    ----------
    left, right : float32 (n, bits), (m, bits)
    similar : float32 (n, m) of 0 and 1
    scale, bias : float, or float32 ()
        The pair's logit is scale <h, g> + bias; the paper's are 1/2 and 0.
    """
    logits = scale * left @ right.T + bias
    share = similar.mean().clamp(1e-6, 1 - 1e-6)
    weight = torch.where(similar > 0, 0.5 / share, 0.5 / (1 - share))
    return functional.binary_cross_entropy_with_logits(logits, similar, weight)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """J4 as a mean of binary cross-entropies, both float32 (n, c).

    The gradient of a squared error through a sigmoid vanishes where it is most wrong.
    """
    return functional.binary_cross_entropy_with_logits(logits, labels)


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
