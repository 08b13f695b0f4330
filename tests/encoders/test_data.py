import torch

from encoders.data import label_matrix


def test_labels_that_are_not_named_count_nothing():
    matrix = label_matrix([("a",), (), ("z", "b")], ["a", "b"])
    assert torch.equal(matrix, torch.tensor([[1.0, 0], [0, 0], [0, 1]]))
