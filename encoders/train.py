"""The alternating trainer: discriminators and networks take turns on each batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from encoders import losses
from encoders.config import TrainSpec
from encoders.data import Vocabulary, label_matrix, load_image, words_of
from encoders.export import SsahEncoder
from encoders.networks import Discriminator, ImgNet, LabNet, Output, TexNet
from ssah_index.errors import ItemError, SourceError
from ssah_index.types import Item, Progress

SCALE = 16.0
"""Inner products of codes are scaled to reach from -16 to 16, whatever their width."""


class Pairs:
    """Training pairs in memory, as tensors.

    Images take 3 * size * size bytes each: 12 KiB at 64 pixels.
    """

    def __init__(
        self, images: Tensor, bags: Tensor, labels: Tensor, vocabulary: Vocabulary,
        names: tuple[str, ...],
    ) -> None:  # fmt: skip
        self.images = images
        self.bags = bags
        self.labels = labels
        self.vocabulary = vocabulary
        self.names = names

    def __len__(self) -> int:
        return len(self.images)


def read_pairs(
    items: Sequence[Item], spec: TrainSpec, report: Callable[[str], None], progress: Progress
) -> Pairs:
    """Decode the pairs among items and learn their vocabulary and labels.

    Raises
    ------
    SourceError
        If there are fewer pairs than a batch, no word is frequent enough for a
        vocabulary, or no label is.
    """
    pairs = [(i, i.image, i.text) for i in items if i.image is not None and i.text]
    if len(pairs) < 2:
        raise SourceError(
            f"{len(pairs)} of {len(items)} items have both an image and a text",
            "pairs to train on",
            "Put a .txt file of the same stem, or a table of path and text, beside the images.",
        )
    texts = [text for _, _, text in pairs]
    vocabulary = Vocabulary.of(texts, spec.min_word_texts, spec.max_words)
    if not len(vocabulary):
        raise SourceError(
            f"no word stands in {spec.min_word_texts} of the {len(pairs)} texts",
            "words that repeat",
            "Train on more texts, or lower min_word_texts.",
        )
    labels = label_sets([item for item, _, _ in pairs], texts, spec)
    images, bags, kept, reasons = [], [], [], []
    for number, (_, path, text) in enumerate(pairs):
        progress(number + 1, len(pairs), "reading pairs")
        try:
            bag = vocabulary.bag(text)
            image = load_image(path, spec.image_size)
        except ItemError as error:
            reasons.append(str(error))
            continue
        images.append(torch.from_numpy(image))
        bags.append(torch.from_numpy(bag))
        kept.append(labels[number])
    if reasons:
        report(f"{len(reasons):,} of {len(pairs):,} pairs are left out; the first: {reasons[0]}")
    if len(kept) < spec.batch_rows:
        raise SourceError(
            f"{len(kept)} pairs can be trained on",
            f"at least one batch of {spec.batch_rows}",
            "Train on more pairs, or lower batch_rows.",
        )
    names = tuple(sorted({name for own in kept for name in own}))
    matrix = label_matrix(kept, names)
    report(f"{len(kept):,} pairs, {len(vocabulary):,} words, {len(names):,} labels")
    return Pairs(torch.stack(images), torch.stack(bags), matrix, vocabulary, names)


def label_sets(
    pairs: Sequence[Item], texts: Sequence[str], spec: TrainSpec
) -> list[tuple[str, ...]]:
    """Labels of each pair: its own, or its text's frequent words where no pair has any.

    Raises
    ------
    SourceError
        If no pair has labels and no word is frequent enough to serve as one.
    """
    if any(pair.labels for pair in pairs):
        return [pair.labels for pair in pairs]
    frequent = set(Vocabulary.of(texts, spec.min_label_texts, spec.max_words).words)
    if not frequent:
        raise SourceError(
            f"no pair has labels, and no word stands in {spec.min_label_texts} texts",
            "labels, or words frequent enough to serve as labels",
            "Add a column of labels, or lower min_label_texts.",
        )
    return [tuple(word for word in words_of(text) if word in frequent) for text in texts]


def train(
    items: Sequence[Item],
    spec: TrainSpec,
    *,
    report: Callable[[str], None],
    progress: Progress,
) -> SsahEncoder:
    """Train SSAH on labelled pairs.

    Parameters
    ----------
    items : sequence of Item
        Those with an image and a text are trained on.
    spec : TrainSpec
    report : callable
        Told a line now and then.
    progress : Progress
        Told after every batch.

    Returns
    -------
    SsahEncoder
        The same for the same items, spec and thread count.

    Raises
    ------
    SourceError
        If there is too little to train on.
    """
    pairs = read_pairs(items, spec, report, progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        trainer = Trainer(pairs, spec)
        for number in range(spec.passes):
            mean_loss = trainer.run_pass(progress)
            report(f"pass {number + 1} of {spec.passes}: loss {mean_loss:.3f}")
    return SsahEncoder(spec, pairs.vocabulary, pairs.names, trainer.image_net, trainer.text_net)


class Trainer:
    """The networks, the discriminators and one optimiser for each side."""

    def __init__(self, pairs: Pairs, spec: TrainSpec) -> None:
        bits, classes = spec.bits, len(pairs.names)
        self.pairs = pairs
        self.spec = spec
        self.label_net = LabNet(bits, classes)
        self.image_net = ImgNet(bits, classes)
        self.text_net = TexNet(len(pairs.vocabulary), bits, classes)
        self.discriminators = nn.ModuleList([Discriminator(), Discriminator()])
        self._nets = nn.ModuleList([self.label_net, self.image_net, self.text_net])
        self._optimiser = torch.optim.AdamW(
            self._nets.parameters(), spec.learning_rate, weight_decay=1e-4, fused=True
        )
        self._adversary_optimiser = torch.optim.AdamW(
            self.discriminators.parameters(), spec.adversary_rate, betas=(0.5, 0.999)
        )
        self._steps = len(pairs) // spec.batch_rows
        self._done = 0
        self._rate = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, spec.learning_rate, total_steps=max(spec.passes * self._steps, 1)
        )

    def run_pass(self, progress: Progress) -> float:
        """One pass over the pairs in random order; returns the mean loss."""
        self._nets.train()
        order = torch.randperm(len(self.pairs))
        total = 0.0
        for start in range(0, self._steps * self.spec.batch_rows, self.spec.batch_rows):
            total += self.step(order[start : start + self.spec.batch_rows])
            self._done += 1
            progress(self._done, self.spec.passes * self._steps, "training steps")
        return total / self._steps

    def step(self, rows: Tensor) -> float:
        """One batch: first the discriminators, then the networks; returns the loss."""
        labels = self.pairs.labels[rows]
        outputs = (
            self.label_net(labels),
            self.image_net(self.pairs.images[rows]),
            self.text_net(self.pairs.bags[rows]),
        )
        self._step_discriminators(*outputs)
        loss = self._loss(outputs, labels, losses.likeness(self.pairs.bags[rows]))
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self._rate.step()
        return float(loss.detach())

    def _step_discriminators(self, label: Output, image: Output, text: Output) -> None:
        real = label.feature.detach()
        terms = [
            losses.discriminator(judge(real), judge(fake.feature.detach()))
            for judge, fake in zip(self.discriminators, (image, text), strict=True)
        ]
        loss = torch.stack(terms).sum()
        self._adversary_optimiser.zero_grad()
        loss.backward()
        self._adversary_optimiser.step()

    def _loss(
        self, outputs: tuple[Output, Output, Output], labels: Tensor, targets: Tensor
    ) -> Tensor:
        """The weighted objective of all three networks on one batch."""
        spec = self.spec
        _, image, text = outputs
        similar = losses.similarity(labels)
        scale = SCALE / spec.bits
        loss = spec.contrast_weight * losses.contrast(
            image.code, text.code, targets, SCALE / spec.bits
        )
        for position, left in enumerate(outputs):
            for right in outputs[position:]:
                pairwise = losses.pairwise_nll(left.code, right.code, similar, scale)
                loss = loss + spec.similarity_weight * pairwise
            loss = loss + spec.quantisation_weight * losses.quantisation(left.code)
            loss = loss + spec.classification_weight * losses.classification(left.logits, labels)
        for judge, fake in zip(self.discriminators, (image, text), strict=True):
            # The judge's own gradients are dropped: its next step clears them first.
            loss = loss + spec.adversary_weight * losses.adversary(judge(fake.feature))
        return loss
